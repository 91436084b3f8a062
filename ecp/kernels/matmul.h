// Matrix product by oneDNN, the work of prefill.
#pragma once

#include <cstdint>

#include "ecp/base/parallel.h"
#include "ecp/kernels/weight_matrix.h"

namespace ecp::kernels {

/// y[r, o] = Σ_i x[r, i] · weight[o, i] + bias[o], added to y instead if `accumulate`. Rows of x and y are
/// `x_stride` and `y_stride` apart.
struct MatMul {
  const float* x = nullptr;
  WeightMatrix weight;
  const float* bias = nullptr;  // may be null
  float* y = nullptr;
  std::int64_t rows = 0, out = 0;
  std::int64_t x_stride = 0, y_stride = 0;
  bool accumulate = false;
};

/// Works in fixed tiles shared out over the pool, so the result doesn't depend on the number of threads.
/// oneDNN's primitives are kept by shape; tiles have few shapes, so their number is bounded for any rows.
void matmul(const MatMul& problem, ThreadPool& pool);

}  // namespace ecp::kernels
