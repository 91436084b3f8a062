// Linear layers under SPEC's bfloat16 rule: float32 weights, matrix products of bfloat16 inputs with bfloat16
// outputs, weight gradients in float32.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "ecp/model/weights.h"

namespace ecp {

class Linear {
 public:
  Linear() = default;
  /// Weights `name`.weight [out, in] and, where the table has it, `name`.bias [out].
  Linear(const Weights& weights, const std::string& name)
      : weight_(weights.at(name + ".weight")), bias_(weights.find(name + ".bias")) {}

  /// x [..., in] → [..., out], in bfloat16 if asked (x may be float32 then), else in x's dtype.
  [[nodiscard]] at::Tensor operator()(const at::Tensor& x, bool bfloat16) const;

 private:
  at::Tensor weight_, bias_;
};

}  // namespace ecp
