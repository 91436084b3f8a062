// Matrix-vector product, the work of generating one token.
#pragma once

#include <cstdint>

#include "ecp/kernels/weight_matrix.h"

namespace ecp::kernels {

/// y[o] = Σ_i weight[o, i] · x[i] + bias[o], added to y[o] instead if `accumulate`. Each y[o] is computed
/// alike however the rows are divided among calls, and from bfloat16 as from the same numbers in float32.
/// With int8 weights x may be rounded, by at most 2^-16 of its largest.
struct MatVec {
  WeightMatrix weight;
  const float* bias = nullptr;  // may be null
  const float* x = nullptr;
  float* y = nullptr;
  std::int64_t out = 0;
  bool accumulate = false;
};

void matvec(const MatVec& problem);

}  // namespace ecp::kernels
