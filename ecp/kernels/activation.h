// The feed-forward's activations, element by element.
#pragma once

#include <cstdint>

namespace ecp::kernels {

/// x ← x · Φ(x), the exact (erf) GELU, relative error below 1e-6 of Φ.
void gelu(float* x, std::int64_t count);
/// up ← gate / (1 + e^(−gate)) · up
void silu_times(const float* gate, float* up, std::int64_t count);

}  // namespace ecp::kernels
