#include "ecp/intervals/pattern.h"

#include <algorithm>

#include "ecp/base/error.h"

namespace ecp {

Pattern Pattern::ecp(std::int64_t block, std::int64_t lookback) {
  require(block >= 1, "pattern ecp: expected block >= 1, got {}", block);
  require(lookback >= 1, "pattern ecp: expected lookback >= 1, got {}", lookback);
  require(lookback <= INT64_MAX / 4 / block, "pattern ecp: block {} x lookback {} is too large", block,
          lookback);
  return {PatternKind::ecp, block, lookback};
}

Pattern Pattern::parse(std::string_view kind, std::span<const std::int64_t> parameters) {
  const auto expect = [&](std::size_t count, std::string_view names) {
    require(parameters.size() == count, "pattern {}: expected {} integers{}, got {}", kind, count, names,
            parameters.size());
  };
  if (kind == "full") {
    expect(0, "");
    return full();
  }
  if (kind == "ecp") {
    expect(2, " (block, lookback)");
    return ecp(parameters[0], parameters[1]);
  }
  fail("pattern: expected full or ecp, got '{}'", kind);
}

std::string_view Pattern::kind_name() const { return kind_ == PatternKind::full ? "full" : "ecp"; }

std::vector<std::int64_t> Pattern::parameters() const {
  if (kind_ == PatternKind::full) return {};
  return {block_, lookback_};
}

Entries Pattern::entries(std::int64_t rows) const {
  if (kind_ == PatternKind::full) return {rows * (rows + 1) / 2, rows * rows};
  // A block of m rows sees the causal triangle of itself and up to w whole blocks before it.
  Entries sum;
  const std::int64_t whole = rows / block_;
  const std::int64_t rest = rows % block_;
  // Σ over whole blocks of the number of earlier blocks seen: 0, 1, …, w, w, …
  const std::int64_t ramp = std::min(whole, lookback_);
  const std::int64_t earlier = ramp * (ramp - 1) / 2 + (whole - ramp) * lookback_;
  sum.visible = whole * (block_ * (block_ + 1) / 2) + earlier * block_ * block_;
  sum.dense = (whole + earlier) * block_ * block_;
  if (rest > 0) {
    const std::int64_t before = std::min(whole, lookback_) * block_;
    sum.visible += rest * (rest + 1) / 2 + rest * before;
    sum.dense += rest * (rest + before);
  }
  return sum;
}

std::int64_t Pattern::halo() const { return kind_ == PatternKind::full ? -1 : (lookback_ + 1) * block_ - 1; }

std::int64_t Pattern::reach(std::int64_t row, std::int64_t layers) const {
  // Each layer goes `lookback` whole blocks further back, so the composition has a closed form.
  if (kind_ == PatternKind::full) return layers > 0 ? 0 : row;
  if (layers == 0) return row;
  const std::int64_t own = row / block_;
  return lookback_ > own / layers ? 0 : std::max<std::int64_t>(0, own - lookback_ * layers) * block_;
}

}  // namespace ecp
