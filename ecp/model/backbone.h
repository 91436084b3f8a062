// What every model of tokens is made of: embedding, pre-norm layers, final norm.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "ecp/config/model_config.h"
#include "ecp/config/parameters.h"
#include "ecp/model/weights.h"
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
  bool recompute = false;                    // activation checkpointing, a layer at a time
};

/// A model's parameters and its layers; what is made of their output is up to those who derive from it.
class Backbone : public torch::nn::Module {
 public:
  ~Backbone() override;

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

  /// Final-norm output for tokens [B, n] (int64), float32 [B, rows, d]: the trained rows, which are the last
  /// ones. Fails on tokens outside the vocabulary, and on more than n tokens in a latent architecture.
  at::Tensor hidden(const at::Tensor& tokens_BN, const ForwardContext& context = {});

 protected:
  /// Registers the parameters of `parameters(config)`, uninitialised.
  explicit Backbone(ModelConfig config);
  /// All parameters by name.
  [[nodiscard]] const Weights& parameters_by_name() const;

 private:
  struct Layers;
  ModelConfig config_;
  std::vector<Parameter> table_;
  Weights by_name_;
  std::unique_ptr<Layers> layers_;
};

}  // namespace ecp
