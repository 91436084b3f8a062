// A decoder language model of any architecture: a backbone and a classifier over the vocabulary.
#pragma once

#include "ecp/model/backbone.h"
#include "ecp/model/linear.h"

namespace ecp {

class LanguageModel : public Backbone {
 public:
  /// Registers the parameters of `parameters(config)`, uninitialised. `config.vocab` ≥ 1; fails unless the
  /// model is causal.
  explicit LanguageModel(const ModelConfig& config);

  /// Logits [B, rows, V] of the trained rows, float32.
  at::Tensor logits(const at::Tensor& tokens_BN, const ForwardContext& context = {});
  /// Logits [B, V] of the last row, float32: those of the token to come.
  at::Tensor last_logits(const at::Tensor& tokens_BN, const ForwardContext& context = {});
  /// Sum of the cross-entropies (natural log) of tokens [B, n+1]: the trained rows predict the next token.
  /// float32 scalar. Logits are made and dropped in chunks of rows, backward included, so they never exist at
  /// full size.
  at::Tensor loss_sum(const at::Tensor& tokens_BN1, const ForwardContext& context = {});
  /// The same with a target for each trained row, [B, rows] (int64); those below 0 are ignored, and one at
  /// least isn't.
  at::Tensor masked_loss_sum(const at::Tensor& tokens_BN, const at::Tensor& targets_BN,
                             const ForwardContext& context = {});
  /// Each trained row's negative log-likelihood of its target [B, rows], without gradients, in chunks.
  at::Tensor negative_log_likelihood(const at::Tensor& tokens_BN1, const ForwardContext& context = {});

 private:
  Linear classifier_;
};

}  // namespace ecp
