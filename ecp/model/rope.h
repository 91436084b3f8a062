// Rotary position embedding: pairs (2i, 2i+1) of a head turn by position · θ^(−2i / d_h). Computed in
// float32.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace ecp {

/// Cosines and sines for the positions of a pass: [n, d_h/2] each, or [B, n, d_h/2] if positions differ by
/// sample.
struct Rotation {
  at::Tensor cos, sin;
};

/// positions: int64 [n] or [B, n]; negative ones turn backwards. Angles are computed in float64.
Rotation make_rotation(const at::Tensor& positions, std::int64_t head_dim, double theta);

/// x [B, n, heads, d_h] turned; result in x's dtype.
at::Tensor rotate(const at::Tensor& x_BNHD, const Rotation& rotation);

}  // namespace ecp
