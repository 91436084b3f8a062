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
  all = {p.keys, 0};
  const std::int32_t* starts = p.document_start != nullptr ? p.document_start + sample * p.rows : nullptr;
  const auto each = [&](const auto& take) {
    // Rows of one block of the pattern see the same first key, and the same last one or each one more.
    for (std::int64_t row = rows.begin; row < rows.end;) {
      const Interval first = p.pattern.at(p.query_offset + row);
      const std::int64_t stream_end = p.pattern.tile_end(p.query_offset + row);
      const std::int64_t end = std::min(rows.end, stream_end - p.query_offset);
      for (std::int64_t hi_of_row = first.hi; row < end; ++row, hi_of_row += p.pattern.causal() ? 1 : 0) {
        const std::int64_t from =
            starts != nullptr ? std::max<std::int64_t>(first.lo, starts[row]) : first.lo;
        const std::int64_t last = std::clamp<std::int64_t>(hi_of_row - p.key_offset, 0, p.keys);
        take(row - rows.begin, Interval{std::clamp<std::int64_t>(from - p.key_offset, 0, last), last});
      }
    }
  };
  each([&](std::int64_t, Interval seen) {
    if (seen.size() > 0) all = {std::min(all.lo, seen.lo), std::max(all.hi, seen.hi)};
  });
  if (all.hi <= all.lo) all = {0, 0};
  each([&](std::int64_t row, Interval seen) {
    const bool none = seen.size() == 0;
    lo[row] = none ? 0 : static_cast<std::int32_t>(seen.lo - all.lo);
    hi[row] = none ? 0 : static_cast<std::int32_t>(seen.hi - all.lo);
  });
  std::fill(lo + rows.size(), lo + most_rows, lo[rows.size() - 1]);
  std::fill(hi + rows.size(), hi + most_rows, hi[rows.size() - 1]);
}

}  // namespace ecp::kernels
