// Rotary position embedding: pairs (2i, 2i+1) of a head turn by position · θ^(−2i / d_h). Computed in
// float32.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace ecp {

/// For the positions of a pass, [n, d_h] each, or [B, n, d_h] if positions differ by sample: the cosine of
/// each element's angle, and its sine with the sign it has in x · cos + swapped(x) · sin.
struct Rotation {
  at::Tensor cos, sin;

  /// The turns of rows [first, first + count).
  [[nodiscard]] Rotation rows(std::int64_t first, std::int64_t count) const {
    return {cos.slice(-2, first, first + count), sin.slice(-2, first, first + count)};
  }
};

/// positions: [n] or [B, n], whole numbers or float64 between them; negative ones turn backwards. Angles are
/// computed in float64.
Rotation make_rotation(const at::Tensor& positions, std::int64_t head_dim, double theta);

/// x [B, n, heads, d_h] turned; result in x's dtype.
at::Tensor rotate(const at::Tensor& x_BNHD, const Rotation& rotation);

}  // namespace ecp
