// Pre-norms: LayerNorm or RMSNorm over the last dimension, computed in float32.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "ecp/config/model_config.h"
#include "ecp/model/weights.h"

namespace ecp {

/// x · weight / √(mean x² + eps) over the last dimension; result in x's dtype, statistics in float32.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);

class Norm {
 public:
  Norm() = default;
  Norm(const Weights& weights, const std::string& name, const ModelConfig& config)
      : weight_(weights.at(name + ".weight")), bias_(weights.find(name + ".bias")), eps_(config.norm_eps) {}

  /// Without a bias in the table: RMSNorm.
  [[nodiscard]] at::Tensor operator()(const at::Tensor& x) const;

 private:
  at::Tensor weight_, bias_;
  double eps_ = 0;
};

}  // namespace ecp
