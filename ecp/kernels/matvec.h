// Matrix-vector product, the work of generating one token.
#pragma once

#include <cstdint>

namespace ecp::kernels {

/// y[o] = Σ_i weight[o, i] · x[i] + bias[o], added to y[o] instead if `accumulate`. float32, weight row-major
/// with rows `in` apart. Each y[o] is computed alike however the rows are divided among calls.
struct MatVec {
  const float* weight = nullptr;
  const float* bias = nullptr;  // may be null
  const float* x = nullptr;
  float* y = nullptr;
  std::int64_t out = 0, in = 0;
  bool accumulate = false;
};

void matvec(const MatVec& problem);

}  // namespace ecp::kernels
