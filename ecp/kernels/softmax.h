// Softmax in parts, over the logits of one token.
#pragma once

#include <cstdint>

namespace ecp::kernels {

/// Values that `exponentials` sums up together.
constexpr std::int64_t exponentials_block = 1024;

/// The largest of x; NaN if there is none, or one isn't finite.
float largest(const float* x, std::int64_t count);

/// out[i] = e^((x[i] − highest) / temperature), relative error below 1e-6, zero below e^-87; x[i] ≤ highest,
/// all finite, temperature > 0. sums[b] is the sum of the b-th `exponentials_block` of them in float64. `out`
/// may be null.
void exponentials(const float* x, std::int64_t count, float highest, float temperature, float* out,
                  double* sums);

}  // namespace ecp::kernels
