#include "ecp/intervals/pattern.h"

#include <algorithm>
#include <array>
#include <utility>

#include "ecp/base/error.h"

namespace ecp {
namespace {

constexpr std::array<std::pair<PatternKind, std::string_view>, 7> kind_names = {{
    {PatternKind::full, "full"},
    {PatternKind::ecp, "ecp"},
    {PatternKind::group, "group"},
    {PatternKind::sliding, "sliding"},
    {PatternKind::all, "all"},
    {PatternKind::segments, "segments"},
    {PatternKind::neighbours, "neighbours"},
}};

constexpr std::int64_t triangle(std::int64_t rows) { return rows * (rows + 1) / 2; }

}  // namespace

Pattern Pattern::blocks(PatternKind kind, std::int64_t block, std::int64_t lookback, std::int64_t shift,
                        bool causal) {
  Pattern pattern{kind, block, lookback, shift, causal};
  const std::string_view name = pattern.kind_name();
  require(block >= 1, "pattern {}: expected block >= 1, got {}", name, block);
  require(shift >= 0 && shift < block, "pattern {}: expected shift from 0 to {}, got {}", name, block - 1,
          shift);
  require(lookback <= INT64_MAX / 8 / block - 1, "pattern {}: block {} x lookback {} is too large", name,
          block, lookback);
  return pattern;
}

Pattern Pattern::ecp(std::int64_t block, std::int64_t lookback, std::int64_t shift) {
  require(lookback >= 1, "pattern ecp: expected lookback >= 1, got {}", lookback);
  return blocks(PatternKind::ecp, block, lookback, shift, true);
}

Pattern Pattern::group(std::int64_t size, std::int64_t shift) {
  return blocks(PatternKind::group, size, 0, shift, true);
}

Pattern Pattern::sliding(std::int64_t window) {
  require(window >= 1, "pattern sliding: expected window >= 1, got {}", window);
  return blocks(PatternKind::sliding, 1, window - 1, 0, true);
}

Pattern Pattern::segments(std::int64_t size) { return blocks(PatternKind::segments, size, 0, 0, false); }

Pattern Pattern::neighbours(std::int64_t block, std::int64_t lookback) {
  require(lookback >= 1, "pattern neighbours: expected lookback >= 1, got {}", lookback);
  return blocks(PatternKind::neighbours, block, lookback, 0, false);
}

Pattern Pattern::parse(std::string_view kind, std::span<const std::int64_t> parameters) {
  const auto expect = [&](std::size_t count, std::string_view names) {
    require(parameters.size() == count, "pattern {}: expected {} integers{}, got {}", kind, count, names,
            parameters.size());
  };
  if (kind == "full" || kind == "all") {
    expect(0, "");
    return kind == "full" ? full() : all();
  }
  if (kind == "ecp") {
    if (parameters.size() == 3) return ecp(parameters[0], parameters[1], parameters[2]);
    expect(2, " (block, lookback) or 3 (shift)");
    return ecp(parameters[0], parameters[1]);
  }
  if (kind == "group") {
    expect(2, " (size, shift)");
    return group(parameters[0], parameters[1]);
  }
  if (kind == "neighbours") {
    expect(2, " (block, lookback)");
    return neighbours(parameters[0], parameters[1]);
  }
  if (kind == "sliding" || kind == "segments") {
    expect(1, kind == "sliding" ? " (window)" : " (size)");
    return kind == "sliding" ? sliding(parameters[0]) : segments(parameters[0]);
  }
  fail("pattern: expected full, ecp, group, sliding, all, segments or neighbours, got '{}'", kind);
}

std::string_view Pattern::kind_name() const {
  return std::find_if(kind_names.begin(), kind_names.end(),
                      [this](const auto& known) { return known.first == kind_; })
      ->second;
}

std::vector<std::int64_t> Pattern::parameters() const {
  switch (kind_) {
    case PatternKind::full:
    case PatternKind::all:
      return {};
    case PatternKind::ecp:
      if (shift_ > 0) return {block_, lookback_, shift_};
      return {block_, lookback_};
    case PatternKind::neighbours:
      return {block_, lookback_};
    case PatternKind::group:
      return {block_, shift_};
    case PatternKind::sliding:
      return {lookback_ + 1};
    case PatternKind::segments:
      return {block_};
  }
  fail("pattern: unknown kind");
}

Entries Pattern::entries(std::int64_t rows) const {
  if (!bounded()) return {causal_ ? triangle(rows) : rows * rows, rows * rows};
  Entries sum = causal_ ? causal_entries(rows) : bidirectional_entries(rows);
  // Implementations with masks give every row of these a whole window or group.
  if (kind_ == PatternKind::sliding) sum.dense = rows * std::min(rows, lookback_ + 1);
  if (kind_ == PatternKind::group) sum.dense = rows * std::min(rows, block_);
  return sum;
}

/// A block of m rows sees the causal triangle of itself and up to w whole blocks before it.
Entries Pattern::causal_entries(std::int64_t rows) const {
  const std::int64_t first = std::min(rows, block_ - shift_);
  const std::int64_t whole = (rows - first) / block_, rest = (rows - first) % block_;
  // Σ over the whole blocks after the first of the earlier rows they see: b − shift, 2b − shift, …, wb, wb …
  const std::int64_t ramp = std::min(whole, lookback_);
  const std::int64_t earlier = triangle(ramp) * block_ - ramp * shift_ + (whole - ramp) * lookback_ * block_;
  Entries sum{triangle(first) + whole * triangle(block_) + earlier * block_,
              first * first + (whole * block_ + earlier) * block_};
  if (rest > 0) {
    const std::int64_t before = std::min((whole + 1) * block_ - shift_, lookback_ * block_);
    sum += {triangle(rest) + rest * before, rest * (rest + before)};
  }
  return sum;
}

/// All blocks see alike but those near the two ends, which are counted one by one.
Entries Pattern::bidirectional_entries(std::int64_t rows) const {
  const std::int64_t blocks = (rows + block_ - 1) / block_;
  const std::int64_t edge = lookback_ + 1;
  std::int64_t visible = 0;
  const auto count = [&](std::int64_t block) {
    const std::int64_t begin = block * block_;
    visible += (std::min(rows, begin + block_) - begin) * at(begin, rows).size();
  };
  const std::int64_t inner = std::max<std::int64_t>(0, blocks - 2 * edge);
  for (std::int64_t block = 0; block < std::min(blocks, edge); ++block) count(block);
  for (std::int64_t block = edge + inner; block < blocks; ++block) count(block);
  visible += inner * block_ * (2 * lookback_ + 1) * block_;
  return {visible, visible};
}

std::int64_t Pattern::halo() const { return bounded() ? (lookback_ + 1) * block_ - 1 : -1; }

std::int64_t Pattern::reach(std::int64_t row, std::int64_t layers) const {
  // Each layer goes `lookback` whole blocks further back, so the composition has a closed form.
  if (layers == 0) return row;
  if (!bounded()) return 0;
  const std::int64_t own = (row + shift_) / block_;
  if (lookback_ > own / layers) return 0;
  return std::max<std::int64_t>(0, (own - lookback_ * layers) * block_ - shift_);
}

}  // namespace ecp
