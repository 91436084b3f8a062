#include "ecp/model/classifier.h"

#include <torch/torch.h>

#include "ecp/base/error.h"

namespace ecp {
namespace {

const ModelConfig& with_classes(const ModelConfig& config) {
  require(config.classes >= 2, "model.classes: expected at least 2 for a classifier, got {}", config.classes);
  return config;
}

}  // namespace

Classifier::Classifier(const ModelConfig& config) : Backbone(with_classes(config)) {
  classifier_ = Linear(parameters_by_name(), "classifier");
}

at::Tensor Classifier::logits(const at::Tensor& tokens_BN, const ForwardContext& context) {
  const at::Tensor rows_BND = hidden(tokens_BN, context);
  const at::Tensor pooled_BD = config().pooling == "last" ? rows_BND.select(1, -1) : rows_BND.mean(1);
  return classifier_.to_float(pooled_BD, false);  // a few products, which needn't be fast
}

at::Tensor Classifier::loss_sum(const at::Tensor& tokens_BN, const at::Tensor& labels_B,
                                const ForwardContext& context) {
  require(labels_B.dim() == 1 && labels_B.scalar_type() == at::kLong && tokens_BN.dim() == 2 &&
              labels_B.size(0) == tokens_BN.size(0),
          "model: expected a label as int64 for each of the tokens' rows");
  const auto [least, most] = at::aminmax(labels_B);
  require(least.item<std::int64_t>() >= 0 && most.item<std::int64_t>() < config().classes,
          "model: expected labels from 0 to {}, got {} to {}", config().classes - 1,
          least.item<std::int64_t>(), most.item<std::int64_t>());
  return at::cross_entropy_loss(logits(tokens_BN, context), labels_B, {}, at::Reduction::Sum);
}

}  // namespace ecp
