// Interval attention of one head over cached rows: a few consecutive query rows against the keys they see,
// which lie in up to two contiguous spans of a ring. One row is generation, more rows are prefill.
//
// Grouped heads and K = V need nothing here: heads pass the same pointers.
#pragma once

#include <cstdint>

namespace ecp::kernels {

/// Consecutive keys, the queries as this span sees them (rotated to its origin of positions), and where its
/// part of the result goes; both spans may name the same `out`.
struct AttentionSpan {
  const float* q = nullptr;  // [rows, head_dim], rows `q_stride` apart
  const float* k = nullptr;  // [keys, head_dim], rows `kv_stride` apart
  const float* v = nullptr;
  float* out = nullptr;  // [rows, head_dim], rows `out_stride` apart
  std::int64_t keys = 0;
  bool accumulate = false;  // add to out
};

/// Query row i sees the keys of all spans in order, but the last rows − 1 − i: the last span ends with the
/// rows' own keys (so it has at least `rows`). Softmax over all of them together, in float32.
struct Attention {
  const AttentionSpan* spans = nullptr;
  std::int64_t span_count = 0;
  std::int64_t rows = 0, head_dim = 0;
  std::int64_t q_stride = 0, kv_stride = 0, out_stride = 0;
  float scale = 1;
  float* scratch = nullptr;  // attention_scratch(keys of all spans) floats
};

constexpr std::int64_t attention_scratch(std::int64_t keys) { return 4 * (keys + 16); }

void attention(const Attention& problem);

}  // namespace ecp::kernels
