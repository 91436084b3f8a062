// How interval attention is cut: groups and tiles of query rows, tiles of keys, and what they see of each
// other. Boundaries are at multiples in the stream and at block boundaries of the pattern, so that they don't
// depend on which rows a call is given.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "ecp/base/parallel.h"
#include "ecp/kernels/interval_attention.h"

namespace ecp::kernels {

/// Rows [begin, end), local numbers.
struct Range {
  std::int64_t begin = 0, end = 0;
  [[nodiscard]] std::int64_t size() const { return end - begin; }
  [[nodiscard]] bool empty() const { return end <= begin; }
};

/// Part `part` of `parts` of the rows.
inline Range part_of(Range rows, std::int64_t part, std::int64_t parts) {
  const Share share = share_of(rows.size(), parts, part);
  return {rows.begin + share.begin, rows.begin + share.end};
}

/// Part `part` of `parts` of the `count` rows from `begin` on, as far as there are that many among `all`.
inline Range share_of_rows(std::int64_t begin, std::int64_t count, std::int64_t all, std::int64_t part,
                           std::int64_t parts) {
  return part_of({begin, begin + std::clamp<std::int64_t>(all - begin, 0, count)}, part, parts);
}

/// Cuts `rows` rows that begin at stream row `offset` into tiles of at most `most` (a power of two): tiles
/// end where blocks of the pattern end, if those are not much shorter than a tile, and at multiples of `most`
/// counted from the block's begin, else from the stream's.
std::vector<Range> tiles_of(const Pattern& pattern, std::int64_t offset, std::int64_t rows,
                            std::int64_t most);

/// Of a range of keys, counted from its first, those between the first and the last that some row of a tile
/// sees, and those that every row does.
struct SeenKeys {
  std::int32_t some_lo, some_hi, all_lo, all_hi;
  [[nodiscard]] bool none() const { return some_hi <= some_lo; }
  [[nodiscard]] bool whole(std::int64_t begin, std::int64_t end) const {
    return all_lo <= begin && end <= all_hi;
  }
};

/// The keys of each row of a tile of queries, and of all of them together.
struct TileKeys {
  static constexpr std::int64_t most_rows = 64;
  alignas(
      64) std::int32_t lo[most_rows];  // counted from `all.lo`; past the tile's rows, what the last one sees
  alignas(64) std::int32_t hi[most_rows];
  Interval all;  // between the first and the last key that any row sees; empty: none
  std::int32_t last_lo = 0, first_hi = 0;  // of all rows

  /// What the rows see of keys [begin, begin + size), which some_lo and some_hi may overstate where
  /// `document_start` leaves gaps.
  [[nodiscard]] SeenKeys seen(std::int64_t begin, std::int64_t size) const {
    const auto shift = static_cast<std::int32_t>(all.lo - begin), most = static_cast<std::int32_t>(size);
    const auto at = [&](std::int32_t key) { return std::clamp(key + shift, 0, most); };
    return {at(0), at(static_cast<std::int32_t>(all.size())), at(last_lo), at(first_hi)};
  }
  /// Row `row` sees nothing after all.
  void exclude(std::int64_t row) {
    hi[row] = lo[row];
    first_hi = std::min(first_hi, hi[row]);
  }

  /// Of at least one row and at most `most_rows`.
  void set(const IntervalAttention& p, std::int64_t sample, Range rows);
};

}  // namespace ecp::kernels
