// Matrix products of tensors with float32 results, through ops/blas.h. Operands are 2-D, contiguous and both
// float32 or both bfloat16; `transposed` ones are used as their transpose. Products with a layer's weight go
// through model/linear_weight.h.
#pragma once

#include <ATen/core/Tensor.h>

namespace ecp {

struct Operand {
  const at::Tensor& tensor;
  bool transposed = false;
};

/// c = a · b; c contiguous, perhaps uninitialised.
void multiply(Operand a, Operand b, const at::Tensor& c);

/// c += a · b.
void add_product(Operand a, Operand b, const at::Tensor& c);

/// a · b.
at::Tensor product(Operand a, Operand b);

/// A table of rows [..., width] as a matrix of the operands' dtype.
at::Tensor as_matrix(const at::Tensor& x, at::ScalarType dtype);

}  // namespace ecp
