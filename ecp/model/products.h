// Matrix products of tensors, through ops/blas.h. Operands are 2-D, contiguous and both float32 or both
// bfloat16; `transposed` ones are used as their transpose.
#pragma once

#include <ATen/core/Tensor.h>

namespace ecp {

struct Operand {
  const at::Tensor& tensor;
  bool transposed = false;
};

/// c = a · b, summed in float32; c contiguous, float32 or of the operands' dtype. It may be uninitialised.
void multiply(Operand a, Operand b, const at::Tensor& c);

/// c += a · b; c float32.
void add_product(Operand a, Operand b, const at::Tensor& c);

/// a · b in `dtype`: float32 or that of the operands.
at::Tensor product(Operand a, Operand b, at::ScalarType dtype);

/// A table of rows [..., width] as a matrix of the operands' dtype.
at::Tensor as_matrix(const at::Tensor& x, at::ScalarType dtype);

}  // namespace ecp
