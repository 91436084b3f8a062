// Pre-norms: LayerNorm or RMSNorm over the last dimension, computed in float32.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>

#include "ecp/config/model_config.h"
#include "ecp/model/weights.h"

namespace ecp {

/// x · weight / √(mean x² + eps) over the last dimension, x and the result float32 or bfloat16 (default: x's
/// dtype).
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps,
                    std::optional<at::ScalarType> dtype = std::nullopt);

/// (x − mean x) · weight / √(var x + eps) + bias, as above; without a defined bias rms_norm.
at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps,
                      std::optional<at::ScalarType> dtype = std::nullopt);

/// x + added, or x alone; `added` may be of another dtype, which its gradient then has too.
struct Sum {
  at::Tensor x, added;
};
/// A sum, of x's dtype, and its norm.
struct NormedSum {
  at::Tensor sum, normed;
};

/// The sum as the residual goes on with it, and its norm, of `dtype`: both in one pass over the rows, as are
/// the gradients.
NormedSum layer_norm(const Sum& x, const at::Tensor& weight, const at::Tensor& bias, double eps,
                     std::optional<at::ScalarType> dtype = std::nullopt);

class Norm {
 public:
  Norm() = default;
  Norm(const Weights& weights, const std::string& name, const ModelConfig& config)
      : weight_(weights.at(name + ".weight")), bias_(weights.find(name + ".bias")), eps_(config.norm_eps) {}

  /// LayerNorm where the table has a bias, else RMSNorm; in bfloat16 for what follows, or in x's dtype.
  [[nodiscard]] NormedSum operator()(const Sum& x, bool bfloat16 = false) const;

 private:
  at::Tensor weight_, bias_;
  double eps_ = 0;
};

}  // namespace ecp
