// Matrix products of tensors with float32 results, through ops/blas.h. Operands are 2-D, their rows
// contiguous, and both float32 or both bfloat16; `transposed` ones are used as their transpose. Products with
// a layer's weight go through model/linear_weight.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

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

/// Σ of a matrix's rows, float32, in an order that doesn't depend on the number of threads: a bias's
/// gradient.
at::Tensor sum_of_rows(const at::Tensor& matrix);

/// Elements from one row to the next.
std::int64_t row_stride(const at::Tensor& matrix);

/// An uninitialised matrix for the result of a product with a packed weight, its rows where they are written
/// fastest.
at::Tensor result_matrix(std::int64_t rows, std::int64_t columns, at::ScalarType dtype);

/// A table of rows [..., width] as a matrix of the operands' dtype.
at::Tensor as_matrix(const at::Tensor& x, at::ScalarType dtype);

}  // namespace ecp
