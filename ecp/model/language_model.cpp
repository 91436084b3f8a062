#include "ecp/model/language_model.h"

#include <torch/torch.h>

#include "ecp/base/error.h"
#include "ecp/model/cross_entropy.h"

namespace ecp {
namespace {

const ModelConfig& next_token(const ModelConfig& config) {
  require(config.classes == 0, "model.classes: expected 0 for a language model, got {}", config.classes);
  require(config.causal, "model.causal: expected true for a language model, got false");
  return config;
}

/// The targets [B · rows] of the last `rows` rows of tokens [B, n+1].
at::Tensor targets_of(const at::Tensor& tokens_BN1, std::int64_t rows) {
  return tokens_BN1.slice(1, tokens_BN1.size(1) - rows).reshape({-1});
}

/// Rows [0, n) of tokens [B, n+1].
at::Tensor inputs_of(const at::Tensor& tokens_BN1) {
  require(tokens_BN1.dim() == 2 && tokens_BN1.size(1) >= 2,
          "model: expected tokens [B, n+1] with n at least 1");
  return tokens_BN1.slice(1, 0, tokens_BN1.size(1) - 1);
}

}  // namespace

LanguageModel::LanguageModel(const ModelConfig& config) : Backbone(next_token(config)) {
  const Weights& weights = parameters_by_name();
  classifier_ = Linear(weights.at(config.tie_embeddings ? "embedding.weight" : "classifier.weight"),
                       weights.find("classifier.bias"));
}

at::Tensor LanguageModel::logits(const at::Tensor& tokens_BN, const ForwardContext& context) {
  return classifier_.to_float(hidden(tokens_BN, context), context.bfloat16);
}

at::Tensor LanguageModel::last_logits(const at::Tensor& tokens_BN, const ForwardContext& context) {
  return classifier_.to_float(hidden(tokens_BN, context).select(1, -1), context.bfloat16);
}

at::Tensor LanguageModel::loss_sum(const at::Tensor& tokens_BN1, const ForwardContext& context) {
  const at::Tensor rows = hidden(inputs_of(tokens_BN1), context);
  return linear_cross_entropy(rows.flatten(0, 1), classifier_, targets_of(tokens_BN1, rows.size(1)),
                              context.bfloat16);
}

at::Tensor LanguageModel::masked_loss_sum(const at::Tensor& tokens_BN, const at::Tensor& targets_BN,
                                          const ForwardContext& context) {
  const at::Tensor rows = hidden(tokens_BN, context), targets = targets_BN.reshape({-1});
  require(targets_BN.scalar_type() == at::kLong && targets_BN.dim() == 2 &&
              targets_BN.size(0) == rows.size(0) && targets_BN.size(1) == rows.size(1),
          "model: expected targets as int64 [{}, {}]", rows.size(0), rows.size(1));
  const at::Tensor kept = at::nonzero(targets.ge(0)).squeeze(1);
  require(kept.numel() > 0, "model: expected at least one target that isn't ignored");
  require(targets.max().item<std::int64_t>() < config().vocab, "model: expected targets below {}, got {}",
          config().vocab, targets.max().item<std::int64_t>());
  return linear_cross_entropy(rows.flatten(0, 1).index_select(0, kept), classifier_,
                              targets.index_select(0, kept), context.bfloat16);
}

at::Tensor LanguageModel::negative_log_likelihood(const at::Tensor& tokens_BN1,
                                                  const ForwardContext& context) {
  const at::NoGradGuard no_grad;
  const at::Tensor rows = hidden(inputs_of(tokens_BN1), context);
  return linear_negative_log_likelihood(rows.flatten(0, 1), classifier_, targets_of(tokens_BN1, rows.size(1)),
                                        context.bfloat16)
      .view({tokens_BN1.size(0), rows.size(1)});
}

}  // namespace ecp
