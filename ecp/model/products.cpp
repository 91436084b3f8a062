#include "ecp/model/products.h"

#include <torch/torch.h>

#include "ecp/ops/blas.h"

namespace ecp {
namespace {

std::int64_t rows_of(const Operand& x) { return x.tensor.size(x.transposed ? 1 : 0); }
std::int64_t columns_of(const Operand& x) { return x.tensor.size(x.transposed ? 0 : 1); }

ops::Matrix<const float> floats(const Operand& x) {
  return {x.tensor.const_data_ptr<float>(), x.tensor.size(1), x.transposed};
}

ops::Matrix<const std::uint16_t> halves(const Operand& x) {
  return {static_cast<const std::uint16_t*>(x.tensor.const_data_ptr()), x.tensor.size(1), x.transposed};
}

bool is_float(const Operand& x) { return x.tensor.scalar_type() == at::kFloat; }

void multiply_floats(const Operand& a, const Operand& b, float beta, const at::Tensor& c) {
  ops::gemm(rows_of(a), columns_of(b), columns_of(a), 1.0f, floats(a), floats(b), beta,
            {c.mutable_data_ptr<float>(), c.size(1)});
}

at::Tensor as_stored(const Operand& x) { return x.transposed ? x.tensor.t() : x.tensor; }

}  // namespace

void multiply(Operand a, Operand b, const at::Tensor& c) {
  if (is_float(a)) {
    multiply_floats(a, b, 0, c);
  } else if (c.scalar_type() != at::kFloat) {
    at::Tensor out = c;
    at::mm_out(out, as_stored(a), as_stored(b));
  } else if (!ops::gemm_bfloat16(c.size(0), c.size(1), columns_of(a), halves(a), halves(b),
                                 c.mutable_data_ptr<float>())) {
    const at::Tensor wide_a = a.tensor.to(at::kFloat), wide_b = b.tensor.to(at::kFloat);
    multiply_floats({wide_a, a.transposed}, {wide_b, b.transposed}, 0, c);
  }
}

void add_product(Operand a, Operand b, const at::Tensor& c) {
  if (is_float(a)) {
    multiply_floats(a, b, 1, c);
  } else {
    c.add_(product(a, b, at::kFloat));
  }
}

at::Tensor product(Operand a, Operand b, at::ScalarType dtype) {
  at::Tensor c = at::empty({rows_of(a), columns_of(b)}, dtype);
  multiply(a, b, c);
  return c;
}

at::Tensor as_matrix(const at::Tensor& x, at::ScalarType dtype) {
  return x.reshape({-1, x.size(-1)}).to(dtype).contiguous();
}

}  // namespace ecp
