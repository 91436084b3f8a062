// The feed-forward of a layer: GELU (erf) or SwiGLU, dropout after the activation.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "ecp/config/model_config.h"
#include "ecp/model/context.h"
#include "ecp/model/linear.h"

namespace ecp {

class FeedForward {
 public:
  FeedForward(const Weights& weights, const std::string& name, const ModelConfig& config, std::int64_t layer);

  /// x [B, n, d] → [B, n, d].
  [[nodiscard]] at::Tensor operator()(const at::Tensor& x_BND, const LayerContext& context) const;

 private:
  Linear gate_, up_, down_;
  std::int64_t layer_;
};

}  // namespace ecp
