#include "ecp/ops/tile_products.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/sum.h>

#include "ecp/kernels/amx_matmul.h"

namespace ecp::ops {
namespace {

namespace amx = kernels::amx;

at::Tensor right_operand(std::int64_t inner, std::int64_t columns) {
  return at::empty({amx::right_elements(inner, columns)}, at::kBFloat16);
}

std::uint16_t* halves(const at::Tensor& t) { return static_cast<std::uint16_t*>(t.mutable_data_ptr()); }

void multiply(const amx::MatMul& problem) {
  at::parallel_for(0, amx::matmul_tasks(problem), 1,
                   [&](std::int64_t begin, std::int64_t end) { amx::matmul(problem, begin, end); });
}

void multiply_to(amx::MatMul product, ProductRows to) {
  product.result = to.data;
  product.result_stride = to.stride;
  product.wide = to.wide;
  product.accumulate = to.accumulate;
  multiply(product);
}

}  // namespace

TileWeight::TileWeight(std::int64_t out, std::int64_t in)
    : out_(out), in_(in), forward_(right_operand(in, out)), backward_(right_operand(out, in)) {}

void TileWeight::assign(const float* weight) {
  const kernels::Matrix<const float> rows{weight, in_};
  // Bands of both are 32 rows of the weight, read once.
  at::parallel_for(0, amx::right_bands(false, out_, in_), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t band = begin; band < end; ++band) {
      amx::pack_right(rows.t(), in_, out_, halves(forward_), band, band + 1);
      amx::pack_right(rows, out_, in_, halves(backward_), band, band + 1);
    }
  });
}

amx::MatMul TileWeight::forward_product(std::int64_t rows, OperandRows x) const {
  return {rows, in_, out_, {x.data, x.stride}, halves(forward_), nullptr, nullptr, 0, false, false};
}

amx::MatMul TileWeight::backward_product(std::int64_t rows, OperandRows y_grad) const {
  return {rows, out_,  in_,  {y_grad.data, y_grad.stride}, halves(backward_), nullptr, nullptr,
          0,    false, false};
}

void TileWeight::forward(std::int64_t rows, OperandRows x, const float* bias, ProductRows y) const {
  amx::MatMul product = forward_product(rows, x);
  product.bias = bias;
  multiply_to(product, y);
}

void TileWeight::backward(std::int64_t rows, OperandRows y_grad, ProductRows x_grad) const {
  multiply_to(backward_product(rows, y_grad), x_grad);
}

void TileWeight::forward_gelu(std::int64_t rows, OperandRows x, const float* bias, GeluRows y) const {
  const amx::Gelu gelu{y.activated, y.stride, nullptr, nullptr};
  amx::MatMul product = forward_product(rows, x);
  product.bias = bias;
  product.gelu = &gelu;
  multiply_to(product, {y.pre, y.stride});
}

void TileWeight::backward_gelu(std::int64_t rows, OperandRows y_grad, GeluRows x, std::uint16_t* pre_grad,
                               float* sum) const {
  const at::Tensor sums = at::empty({amx::row_sums(rows), in_}, at::kFloat);
  const amx::Gelu gelu{x.activated, x.stride, x.pre, sums.mutable_data_ptr<float>()};
  amx::MatMul product = backward_product(rows, y_grad);
  product.gelu = &gelu;
  multiply_to(product, {pre_grad, x.stride});
  at::Tensor total = at::from_blob(sum, {in_}, at::kFloat);
  at::sum_out(total, sums, 0);
}

void multiply_on_tiles(std::int64_t m, std::int64_t n, std::int64_t k, kernels::Matrix<const std::uint16_t> a,
                       kernels::Matrix<const std::uint16_t> b, bool accumulate, float* c) {
  const at::Tensor right = right_operand(k, n);
  at::parallel_for(0, amx::right_bands(b.transposed, k, n), 1, [&](std::int64_t begin, std::int64_t end) {
    amx::pack_right(b, k, n, halves(right), begin, end);
  });
  multiply({m, k, n, a, halves(right), nullptr, c, n, true, accumulate});
}

}  // namespace ecp::ops
