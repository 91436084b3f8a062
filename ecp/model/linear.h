// Linear layers under SPEC's bfloat16 rule: float32 weights, matrix products of bfloat16 inputs with bfloat16
// outputs, weight gradients in float32.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>

#include "ecp/model/linear_weight.h"
#include "ecp/model/weights.h"

namespace ecp {

class Linear {
 public:
  Linear() = default;
  /// Weights `name`.weight [out, in] and, where the table has it, `name`.bias [out].
  Linear(const Weights& weights, const std::string& name)
      : Linear(weights.at(name + ".weight"), weights.find(name + ".bias")) {}
  /// `bias` may be undefined.
  Linear(at::Tensor weight, at::Tensor bias)
      : weight_(c10::make_intrusive<LinearWeight>(std::move(weight))), bias_(std::move(bias)) {}

  /// x [..., in] → [..., out], in bfloat16 if asked (x may be float32 then), else in x's dtype.
  [[nodiscard]] at::Tensor operator()(const at::Tensor& x, bool bfloat16) const;
  /// The same with a float32 result whatever the operands: logits.
  [[nodiscard]] at::Tensor to_float(const at::Tensor& x, bool bfloat16) const;

  /// Null in a layer that isn't there.
  [[nodiscard]] const LinearWeightPtr& weight() const { return weight_; }
  /// May be undefined.
  [[nodiscard]] const at::Tensor& bias() const { return bias_; }

 private:
  LinearWeightPtr weight_;
  at::Tensor bias_;
};

}  // namespace ecp
