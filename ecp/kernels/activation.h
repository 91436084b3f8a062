// The feed-forward's activations, element by element, and their gradients. Results may overwrite operands.
// The backward ones compute the activation again on the way, so that it need not be kept.
#pragma once

#include <cstdint>

namespace ecp::kernels {

/// out = x · Φ(x), the exact (erf) GELU, relative error below 1e-6 of Φ.
void gelu(const float* x, float* out, std::int64_t count);
/// out as above; dx = g · (Φ(x) + x φ(x)).
void gelu_backward(const float* x, const float* g, float* out, float* dx, std::int64_t count);

/// out = gate / (1 + e^(−gate)) · up
void silu_times(const float* gate, const float* up, float* out, std::int64_t count);
/// out as above; the gradients of gate and up from that of out, g.
void silu_times_backward(const float* gate, const float* up, const float* g, float* out, float* dgate,
                         float* dup, std::int64_t count);

}  // namespace ecp::kernels
