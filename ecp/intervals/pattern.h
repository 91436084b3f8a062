// Which keys a query row sees: one contiguous interval [lo, hi) per row, in closed form.
//
// An attention architecture is a function from row to interval; kernels, complexity tables, cache sizes and
// sequence parallelism follow from it. Nothing that kernels call allocates; a Pattern is a small value usable
// in kernels. Rows are counted from the start of the stream; lo and hi never fall from one row to the next.
//
// Every bounded pattern is one of blocks: with b rows a block, the first block cut short by `shift` rows, row
// i stands in block k = ⌊(i + shift) / b⌋ and sees `lookback` blocks before it, and its own up to itself
// (causal) or whole, with as many after it. Sliding is blocks of one row; groups look back at none.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ecp {

struct Interval {
  std::int64_t lo = 0;
  std::int64_t hi = 0;
  [[nodiscard]] constexpr std::int64_t size() const { return hi - lo; }
  constexpr bool operator==(const Interval&) const = default;
};

enum class PatternKind : std::uint8_t { full, ecp, group, sliding, all, segments, neighbours };

/// The attention entries of one head.
struct Entries {
  std::int64_t visible = 0;  // Σ (hi − lo): the pairs that attention needs
  std::int64_t dense =
      0;  // the rectangles an implementation with masks computes; the paper's "calculation steps"
  Entries& operator+=(const Entries& other) {
    visible += other.visible;
    dense += other.dense;
    return *this;
  }
};

class Pattern {
 public:
  /// Causal attention over everything before: row i sees [0, i+1).
  static constexpr Pattern full() { return {PatternKind::full, unbounded, 0, 0, true}; }
  /// ECP (SPEC: blocks of b rows): row i sees [max(0, (k − w)·b − shift), i+1). The paper has w = 1, shift =
  /// 0. Fails unless block ≥ 1, lookback ≥ 1 and 0 ≤ shift < block.
  static Pattern ecp(std::int64_t block, std::int64_t lookback = 1, std::int64_t shift = 0);
  /// Shifted attention's halves (LongLoRA): causal within groups of g rows, row i sees [max(0, k·g − shift),
  /// i+1). The first group is the part of one that would wrap around.
  static Pattern group(std::int64_t size, std::int64_t shift = 0);
  /// The last w rows: row i sees [max(0, i+1−w), i+1).
  static Pattern sliding(std::int64_t window);
  /// Every key there is: the unmasked history of double attention, bidirectional attention.
  static constexpr Pattern all() { return {PatternKind::all, unbounded, 0, 0, false}; }
  /// The whole segment of s rows in which the row stands: [k·s, (k+1)·s).
  static Pattern segments(std::int64_t size);
  /// Bidirectional ECP: [max(0, (k − w)·b), (k + 1 + w)·b).
  static Pattern neighbours(std::int64_t block, std::int64_t lookback = 1);
  /// From its spelling in schemas and files: the kind's name and its integers ("full", "all" []; "ecp"
  /// [block, lookback] or [block, lookback, shift]; "group" [size, shift]; "sliding" [window]; "segments"
  /// [size]; "neighbours" [block, lookback]).
  static Pattern parse(std::string_view kind, std::span<const std::int64_t> parameters);

  [[nodiscard]] constexpr PatternKind kind() const { return kind_; }
  [[nodiscard]] std::string_view kind_name() const;
  /// The integers of its spelling: `parse(kind_name(), parameters())` is this pattern again.
  [[nodiscard]] std::vector<std::int64_t> parameters() const;
  [[nodiscard]] constexpr bool bounded() const { return block_ != unbounded; }
  [[nodiscard]] constexpr bool causal() const { return causal_; }
  [[nodiscard]] constexpr std::int64_t block() const { return block_; }
  [[nodiscard]] constexpr std::int64_t lookback() const { return lookback_; }
  [[nodiscard]] constexpr std::int64_t shift() const { return shift_; }

  /// The keys that `row` of a stream sees, before they end: hi may lie beyond the last key.
  [[nodiscard]] constexpr Interval at(std::int64_t row) const {
    if (!bounded()) return {0, causal_ ? row + 1 : unbounded};
    const std::int64_t own = (row + shift_) / block_;
    const std::int64_t first = (own - lookback_) * block_ - shift_;
    return {first > 0 ? first : 0, causal_ ? row + 1 : (own + 1 + lookback_) * block_ - shift_};
  }
  /// The same among `keys` keys.
  [[nodiscard]] constexpr Interval at(std::int64_t row, std::int64_t keys) const {
    const Interval seen = at(row);
    const std::int64_t hi = seen.hi < keys ? seen.hi : keys;
    return {seen.lo < hi ? seen.lo : hi, hi};
  }
  /// Rows [tile_begin(row), tile_end(row)) share one `lo` (INT64_MAX if unbounded): the natural tile of
  /// queries.
  [[nodiscard]] constexpr std::int64_t tile_begin(std::int64_t row) const {
    if (!bounded()) return 0;
    const std::int64_t begin = (row + shift_) / block_ * block_ - shift_;
    return begin > 0 ? begin : 0;
  }
  [[nodiscard]] constexpr std::int64_t tile_end(std::int64_t row) const {
    return bounded() ? ((row + shift_) / block_ + 1) * block_ - shift_ : unbounded;
  }

  /// Attention entries of one head over a sequence of `rows`.
  [[nodiscard]] Entries entries(std::int64_t rows) const;
  /// max (i − lo) over all rows of an endless stream: the keys before itself that a row can see. −1 if
  /// unbounded.
  [[nodiscard]] std::int64_t halo() const;
  /// Earliest row whose input can influence `row` through `layers` layers: intervals composed.
  [[nodiscard]] std::int64_t reach(std::int64_t row, std::int64_t layers) const;

  constexpr bool operator==(const Pattern&) const = default;

 private:
  static constexpr std::int64_t unbounded = INT64_MAX;

  constexpr Pattern(PatternKind kind, std::int64_t block, std::int64_t lookback, std::int64_t shift,
                    bool causal)
      : kind_(kind), causal_(causal), block_(block), lookback_(lookback), shift_(shift) {}
  static Pattern blocks(PatternKind kind, std::int64_t block, std::int64_t lookback, std::int64_t shift,
                        bool causal);
  [[nodiscard]] Entries causal_entries(std::int64_t rows) const;
  [[nodiscard]] Entries bidirectional_entries(std::int64_t rows) const;

  PatternKind kind_;
  bool causal_;
  std::int64_t block_;
  std::int64_t lookback_;
  std::int64_t shift_;
};

}  // namespace ecp
