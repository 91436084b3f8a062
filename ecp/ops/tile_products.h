// Products in bfloat16 on tiles of AMX (kernels/amx_matmul.h), on LibTorch's threads.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "ecp/kernels/amx_matmul.h"
#include "ecp/kernels/matrix.h"
#include "ecp/ops/packed_weight.h"

namespace ecp::ops {

class TileWeight final : public PackedWeight {
 public:
  TileWeight(std::int64_t out, std::int64_t in);

  void assign(const float* weight) override;
  void forward(std::int64_t rows, OperandRows x, const float* bias, ProductRows y) const override;
  void backward(std::int64_t rows, OperandRows y_grad, ProductRows x_grad) const override;
  void forward_gelu(std::int64_t rows, OperandRows x, const float* bias, GeluRows y) const override;
  void backward_gelu(std::int64_t rows, OperandRows y_grad, GeluRows x, std::uint16_t* pre_grad,
                     float* sum) const override;

 private:
  /// x [rows, in] · weightᵀ and y_grad [rows, out] · weight; where the results go is not set.
  [[nodiscard]] kernels::amx::MatMul forward_product(std::int64_t rows, OperandRows x) const;
  [[nodiscard]] kernels::amx::MatMul backward_product(std::int64_t rows, OperandRows y_grad) const;

  std::int64_t out_, in_;
  at::Tensor forward_, backward_;  // right operands
};

/// C [m, n] = A [m, k] · B [k, n], or += if `accumulate`; C is contiguous.
void multiply_on_tiles(std::int64_t m, std::int64_t n, std::int64_t k, kernels::Matrix<const std::uint16_t> a,
                       kernels::Matrix<const std::uint16_t> b, bool accumulate, float* c);

}  // namespace ecp::ops
