// Vector loops over one row of activations, chosen at run time for the machine's instruction set. Rows may be
// unaligned and of any length; in and out may be the same row.
#pragma once

#include <cstdint>

namespace ecp {

/// out = x · scale · weight.
void row_scale_by(const float* x, float scale, const float* weight, float* out, std::int64_t count);

/// A row that was normalised (kernels/norm.h): (x − center) · scale · weight. RMSNorm's center is 0.
struct NormRow {
  const float *x, *weight;
  float center, scale;
};

/// The backward of LayerNorm, or of RMSNorm if `dbias` is null: dx from the gradient g of the result; what
/// weight and bias get is added to dweight and dbias.
void row_norm_backward(const NormRow& row, const float* g, float* dx, float* dweight, float* dbias,
                       std::int64_t count);

/// out = x · cos + swapped(x) · sin, where swapped exchanges the elements of each pair (2i, 2i+1). count is
/// even. `sin` carries the signs −, +, −, + …; inverse turns them round.
void row_rotate(const float* x, const float* cos, const float* sin, bool inverse, float* out,
                std::int64_t count);

/// out = x + y.
void row_add(const float* x, const float* y, float* out, std::int64_t count);

}  // namespace ecp
