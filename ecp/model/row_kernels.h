// Vector loops over one row of activations, chosen at run time for the machine's instruction set. Rows may be
// unaligned and of any length; in and out may be the same row.
#pragma once

#include <cstdint>

namespace ecp {

/// Σ x².
float row_square_sum(const float* x, std::int64_t count);

/// out = x · scale · weight.
void row_scale_by(const float* x, float scale, const float* weight, float* out, std::int64_t count);

/// The backward of out = x · r · weight with r = 1 / √(mean x² + eps): dx from the gradient g of out, and g ·
/// x · r added to dweight.
void row_rms_backward(const float* x, const float* g, const float* weight, float r, float* dx, float* dweight,
                      std::int64_t count);

/// out = x · cos + swapped(x) · sin, where swapped exchanges the elements of each pair (2i, 2i+1). count is
/// even. `sin` carries the signs −, +, −, + …; inverse turns them round.
void row_rotate(const float* x, const float* cos, const float* sin, bool inverse, float* out,
                std::int64_t count);

/// out = x + y.
void row_add(const float* x, const float* y, float* out, std::int64_t count);

}  // namespace ecp
