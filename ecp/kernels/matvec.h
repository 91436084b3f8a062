// Matrix-vector product, the work of generating one token, or one for each of a few streams.
#pragma once

#include <cstdint>

#include "ecp/kernels/weight_matrix.h"

namespace ecp::kernels {

/// y[n, o] = Σ_i weight[o, i] · x[n, i] + bias[o], added to y[n, o] instead if `accumulate`. Each result is
/// computed alike however the rows are divided among calls and however many inputs share a call, and from
/// bfloat16 as from the same numbers in float32. With int8 weights x may be rounded, by at most 2^-16 of its
/// largest.
struct MatVec {
  WeightMatrix weight;
  const float* bias = nullptr;  // may be null
  const float* x = nullptr;
  float* y = nullptr;
  std::int64_t out = 0;
  bool accumulate = false;
  std::int64_t inputs = 1;  // a few: weights are read once for all of them
  std::int64_t x_stride = 0, y_stride = 0;
};

void matvec(const MatVec& problem);

}  // namespace ecp::kernels
