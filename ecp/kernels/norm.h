// Normalisation of rows: RMSNorm and LayerNorm.
#pragma once

#include <cstdint>

namespace ecp::kernels {

/// Rows of `width` values, `x_stride` and `y_stride` apart; y may be x.
struct Norm {
  const float* x = nullptr;
  float* y = nullptr;
  const float* weight = nullptr;
  const float* bias = nullptr;  // layer_norm only; may be null
  std::int64_t rows = 0, width = 0;
  std::int64_t x_stride = 0, y_stride = 0;
  float eps = 1e-5f;
  // What a backward needs of each row, or null: its mean (layer_norm only) and the root's reciprocal.
  float *centers = nullptr, *scales = nullptr;
};

/// y = x / √(mean(x²) + eps) · weight
void rms_norm(const Norm& problem);
/// y = (x − mean(x)) / √(var(x) + eps) · weight + bias
void layer_norm(const Norm& problem);

}  // namespace ecp::kernels
