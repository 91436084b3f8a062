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

}  // namespace

void multiply(Operand a, Operand b, float beta, const at::Tensor& c) {
  ops::gemm(rows_of(a), columns_of(b), columns_of(a), 1.0f, floats(a), floats(b), beta,
            {c.mutable_data_ptr<float>(), c.size(1)});
}

at::Tensor multiply_to_float(Operand a, Operand b) {
  at::Tensor c = at::empty({rows_of(a), columns_of(b)}, at::kFloat);
  if (ops::gemm_bfloat16(c.size(0), c.size(1), columns_of(a), halves(a), halves(b),
                         c.mutable_data_ptr<float>())) {
    return c;
  }
  const at::Tensor wide_a = a.tensor.to(at::kFloat), wide_b = b.tensor.to(at::kFloat);
  multiply({wide_a, a.transposed}, {wide_b, b.transposed}, 0, c);
  return c;
}

}  // namespace ecp
