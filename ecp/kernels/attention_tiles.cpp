#include "ecp/kernels/attention_tiles.h"

namespace ecp::kernels {

std::vector<Range> tiles_of(const Pattern& pattern, std::int64_t offset, std::int64_t rows,
                            std::int64_t most) {
  std::vector<Range> tiles;
  const bool by_block = pattern.bounded() && pattern.block() >= most / 2;
  for (std::int64_t row = 0; row < rows;) {
    const std::int64_t stream = offset + row;
    const std::int64_t from = by_block ? pattern.tile_begin(stream) : 0;
    std::int64_t end = from + ((stream - from) / most + 1) * most;
    if (by_block) end = std::min(end, pattern.tile_end(stream));
    end = std::min(end - offset, rows);
    tiles.push_back({row, end});
    row = end;
  }
  return tiles;
}

void TileKeys::set(const IntervalAttention& p, std::int64_t sample, Range rows) {
  // Counted from the first row's first key at first.
  const std::int64_t base =
      std::clamp<std::int64_t>(p.pattern.at(p.query_offset + rows.begin).lo - p.key_offset, 0, p.keys);
  const auto key = [&](std::int64_t stream_key) {
    return static_cast<std::int32_t>(std::clamp<std::int64_t>(stream_key - p.key_offset, 0, p.keys) - base);
  };
  const std::int32_t last = static_cast<std::int32_t>(p.keys - base),
                     first = static_cast<std::int32_t>(-base);
  // Rows of one block of the pattern see the same first key, and the same last one or each one more.
  for (std::int64_t row = rows.begin; row < rows.end;) {
    const Interval seen = p.pattern.at(p.query_offset + row);
    const std::int64_t end = std::min(rows.end, p.pattern.tile_end(p.query_offset + row) - p.query_offset);
    const std::int32_t seen_lo = key(seen.lo), step = p.pattern.causal() ? 1 : 0;
    // Not clamped to the first key yet: a later row's may be beyond it.
    auto seen_hi = static_cast<std::int32_t>(
        std::clamp<std::int64_t>(seen.hi - p.key_offset - base, first - most_rows, last));
    for (std::int64_t i = row - rows.begin; i < end - rows.begin; ++i, seen_hi += step) {
      lo[i] = seen_lo;
      hi[i] = std::clamp(seen_hi, first, last);
    }
    row = end;
  }
  if (p.document_start != nullptr) {
    const std::int32_t* starts = p.document_start + sample * p.rows + rows.begin;
    for (std::int64_t i = 0; i < rows.size(); ++i) lo[i] = std::max(lo[i], key(starts[i]));
  }
  std::int32_t least = INT32_MAX, most = INT32_MIN;
  for (std::int64_t i = 0; i < rows.size(); ++i) {
    const bool none = hi[i] <= lo[i];
    least = std::min(least, none ? INT32_MAX : lo[i]);
    most = std::max(most, none ? INT32_MIN : hi[i]);
  }
  if (least >= most) least = most = first;
  all = {base + least, base + most};
  last_lo = 0;
  first_hi = INT32_MAX;
  for (std::int64_t i = 0; i < rows.size(); ++i) {
    const bool none = hi[i] <= lo[i];
    lo[i] = none ? 0 : lo[i] - least;
    hi[i] = none ? 0 : hi[i] - least;
    last_lo = std::max(last_lo, lo[i]);
    first_hi = std::min(first_hi, hi[i]);
  }
  std::fill(lo + rows.size(), lo + most_rows, lo[rows.size() - 1]);
  std::fill(hi + rows.size(), hi + most_rows, hi[rows.size() - 1]);
}

}  // namespace ecp::kernels
