// Matrix products of tensors, through ops/blas.h. Operands are 2-D and contiguous; `transposed` ones are used
// as their transpose.
#pragma once

#include <ATen/core/Tensor.h>

namespace ecp {

struct Operand {
  const at::Tensor& tensor;
  bool transposed = false;
};

/// c = a · b + beta · c, all float32. With beta 0, c may be uninitialised.
void multiply(Operand a, Operand b, float beta, const at::Tensor& c);

/// a · b of bfloat16 operands in float32.
at::Tensor multiply_to_float(Operand a, Operand b);

}  // namespace ecp
