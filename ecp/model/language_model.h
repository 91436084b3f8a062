// A decoder language model of any architecture: embedding, pre-norm layers, final norm, classifier.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "ecp/config/model_config.h"
#include "ecp/config/parameters.h"
#include "ecp/weights/tensor_set.h"

namespace ecp {

/// What a forward pass needs besides tokens. Defaults: evaluation.
struct ForwardContext {
  bool training = false;                     // dropout on
  bool bfloat16 = false;                     // matrix products and attention in bfloat16
  std::uint64_t seed = 0;                    // of dropout
  std::int64_t step = 0;                     // of dropout
  std::vector<std::int64_t> samples;         // global index of each sample in the batch; keys its dropout
  std::optional<at::Tensor> document_start;  // int32 [B, n], packed documents
};

class LanguageModel : public torch::nn::Module {
 public:
  /// Registers the parameters of `parameters(config)`, uninitialised. `config.vocab` ≥ 1.
  explicit LanguageModel(ModelConfig config);
  ~LanguageModel() override;

  /// Initialises all parameters by the table's rules, a function of `seed` alone (not of threads or torch's
  /// state).
  void initialize(std::uint64_t seed);
  /// Copies weights from a file; names and shapes must match the table.
  void load(const TensorSet& weights);
  /// Views of the parameters (float32, contiguous) in the table's order, valid while the model lives and is
  /// not changed.
  [[nodiscard]] std::vector<NamedTensor> weights() const;
  [[nodiscard]] const ModelConfig& config() const { return config_; }
  [[nodiscard]] const std::vector<Parameter>& table() const { return table_; }

  /// Final-norm output [B, n, d] for tokens [B, n] (int64).
  at::Tensor hidden(const at::Tensor& tokens_BN, const ForwardContext& context = {});
  /// Logits [B, n, V], float32.
  at::Tensor logits(const at::Tensor& tokens_BN, const ForwardContext& context = {});
  /// Sum of the cross-entropies (natural log) of tokens [B, n+1]: rows predict the next token. float32
  /// scalar. Logits are made and dropped in chunks of rows, backward included, so they never exist at full
  /// size.
  at::Tensor loss_sum(const at::Tensor& tokens_BN1, const ForwardContext& context = {});
  /// Each target's negative log-likelihood [B, n], without gradients, in chunks.
  at::Tensor negative_log_likelihood(const at::Tensor& tokens_BN1, const ForwardContext& context = {});

 private:
  struct Layers;
  ModelConfig config_;
  std::vector<Parameter> table_;
  std::unique_ptr<Layers> layers_;
};

}  // namespace ecp
