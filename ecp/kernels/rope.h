// Rotary position embedding over interleaved pairs: (x[2i], x[2i+1]) turns by position · θ^(−2i/width).
//
// Rotations add up: turning by a and then by b is turning by a + b, so positions may be counted from wherever
// it keeps them small.
#pragma once

#include <cstdint>
#include <vector>

namespace ecp::kernels {

/// The angles per position of the width/2 pairs; `width` is even.
std::vector<double> rope_frequencies(std::int64_t width, double theta);

/// What `rope` needs for one position: cosines [width] (each twice), then signed sines [width]. Angles are
/// computed in double; positions may be negative.
void rope_table(const std::vector<double>& frequencies, std::int64_t position, float* table);

/// Turns `rows` rows (heads, for instance) of `width` values by one table. out may be x.
struct Rope {
  const float* x = nullptr;
  float* out = nullptr;
  const float* table = nullptr;  // [2 · width]
  std::int64_t rows = 0, width = 0;
  std::int64_t x_stride = 0, out_stride = 0;
  bool accumulate = false;  // add to out instead
};

void rope(const Rope& problem);

}  // namespace ecp::kernels
