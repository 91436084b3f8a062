#include "ecp/model/products.h"

#include <torch/torch.h>

#include <algorithm>

#include "ecp/model/row_kernels.h"
#include "ecp/ops/blas.h"
#include "ecp/ops/packed_weight.h"
#include "ecp/ops/rows.h"

namespace ecp {
namespace {

std::int64_t rows_of(const Operand& x) { return x.tensor.size(x.transposed ? 1 : 0); }
std::int64_t columns_of(const Operand& x) { return x.tensor.size(x.transposed ? 0 : 1); }

ops::Matrix<const float> floats(const Operand& x) {
  return {x.tensor.const_data_ptr<float>(), row_stride(x.tensor), x.transposed};
}

ops::Matrix<const std::uint16_t> halves(const Operand& x) {
  return {static_cast<const std::uint16_t*>(x.tensor.const_data_ptr()), row_stride(x.tensor), x.transposed};
}

void multiply_floats(const Operand& a, const Operand& b, float beta, const at::Tensor& c) {
  ops::gemm(rows_of(a), columns_of(b), columns_of(a), 1.0f, floats(a), floats(b), beta,
            {c.mutable_data_ptr<float>(), row_stride(c)});
}

/// c = or += a · b with bfloat16 operands and float32 c.
void multiply_halves(const Operand& a, const Operand& b, bool accumulate, const at::Tensor& c) {
  if (ops::gemm_bfloat16(c.size(0), c.size(1), columns_of(a), halves(a), halves(b), accumulate,
                         c.mutable_data_ptr<float>())) {
    return;
  }
  const at::Tensor wide_a = a.tensor.to(at::kFloat), wide_b = b.tensor.to(at::kFloat);
  multiply_floats({wide_a, a.transposed}, {wide_b, b.transposed}, accumulate ? 1 : 0, c);
}

/// c = or += a · b.
void multiply(const Operand& a, const Operand& b, bool accumulate, const at::Tensor& c) {
  if (a.tensor.scalar_type() == at::kFloat) {
    multiply_floats(a, b, accumulate ? 1 : 0, c);
  } else {
    multiply_halves(a, b, accumulate, c);
  }
}

}  // namespace

void multiply(Operand a, Operand b, const at::Tensor& c) { multiply(a, b, false, c); }

void add_product(Operand a, Operand b, const at::Tensor& c) { multiply(a, b, true, c); }

at::Tensor product(Operand a, Operand b) {
  at::Tensor c = at::empty({rows_of(a), columns_of(b)}, at::kFloat);
  multiply(a, b, c);
  return c;
}

at::Tensor sum_of_rows(const at::Tensor& matrix) {
  constexpr std::int64_t rows_per_task = 32;
  const std::int64_t rows = matrix.size(0), width = matrix.size(1), stride = row_stride(matrix);
  const at::Tensor sums = at::zeros({(rows + rows_per_task - 1) / rows_per_task, width}, at::kFloat);
  const bool wide = matrix.scalar_type() == at::kFloat;
  const auto* floats = wide ? matrix.const_data_ptr<float>() : nullptr;
  const auto* halves = wide ? nullptr : static_cast<const std::uint16_t*>(matrix.const_data_ptr());
  at::parallel_for(0, sums.size(0), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      float* const sum = sums.mutable_data_ptr<float>() + task * width;
      for (std::int64_t i = task * rows_per_task; i < std::min(rows, (task + 1) * rows_per_task); ++i) {
        wide ? row_add(sum, floats + i * stride, sum, width)
             : ops::row_add_bfloat16(sum, halves + i * stride, width);
      }
    }
  });
  return sums.sum(0);
}

std::int64_t row_stride(const at::Tensor& matrix) {
  return std::max(matrix.stride(0), matrix.size(1));  // a single row's stride may be anything
}

at::Tensor result_matrix(std::int64_t rows, std::int64_t columns, at::ScalarType dtype) {
  if (!ops::PackedWeight::writes_lines()) return at::empty({rows, columns}, dtype);
  constexpr std::int64_t line = 64;  // bytes
  const std::int64_t multiple = line / static_cast<std::int64_t>(c10::elementSize(dtype));
  return at::empty({rows, (columns + multiple - 1) / multiple * multiple}, dtype).slice(1, 0, columns);
}

at::Tensor as_matrix(const at::Tensor& x, at::ScalarType dtype) {
  return x.reshape({-1, x.size(-1)}).to(dtype).contiguous();
}

}  // namespace ecp
