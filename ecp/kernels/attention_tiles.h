// How interval attention is cut: groups and tiles of query rows, tiles of keys, and what they see of each
// other. Boundaries are at multiples in the stream and at block boundaries of the pattern, so that they don't
// depend on which rows a call is given.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "ecp/kernels/interval_attention.h"

namespace ecp::kernels {

/// Rows [begin, end), local numbers.
struct Range {
  std::int64_t begin = 0, end = 0;
  [[nodiscard]] std::int64_t size() const { return end - begin; }
  [[nodiscard]] bool empty() const { return end <= begin; }
};

/// Cuts `rows` rows that begin at stream row `offset` into tiles of at most `most` (a power of two): tiles
/// end where blocks of the pattern end, if those are not much shorter than a tile, and at multiples of `most`
/// counted from the block's begin, else from the stream's.
std::vector<Range> tiles_of(const Pattern& pattern, std::int64_t offset, std::int64_t rows,
                            std::int64_t most);

/// The keys of each row of a tile of queries, and of all of them together.
struct TileKeys {
  std::vector<std::int32_t> lo, hi;  // counted from `all.lo`
  Interval all;                      // between the first and the last key that any row sees; empty: none

  void set(const IntervalAttention& p, std::int64_t sample, Range rows);
};

}  // namespace ecp::kernels
