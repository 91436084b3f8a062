// Which keys a query row sees: one contiguous interval [lo, hi) per row, in closed form.
//
// An attention architecture is a function from row to interval; kernels, complexity tables, cache sizes and
// sequence parallelism follow from it. Nothing that kernels call allocates; a Pattern is a small value usable
// in kernels. Rows are counted from the start of the stream. `rows` is the length of the whole sequence: a
// row's interval never exceeds it.
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

enum class PatternKind : std::uint8_t { full, ecp };

/// The attention entries of one layer and head.
struct Entries {
  std::int64_t visible = 0;  // Σ (hi − lo): the pairs that attention needs
  std::int64_t dense =
      0;  // the rectangles an implementation with masks computes; the paper's "calculation steps"
};

class Pattern {
 public:
  /// Causal attention over everything before: row i sees [0, i+1).
  static constexpr Pattern full() { return {PatternKind::full, 0, 0}; }
  /// ECP (SPEC: blocks of b rows): row i sees [max(0, (⌊i/b⌋ − w)·b), i+1). The paper has w = 1.
  /// Fails unless block ≥ 1 and lookback ≥ 1.
  static Pattern ecp(std::int64_t block, std::int64_t lookback = 1);
  /// From its spelling in schemas and files: the kind's name and its integers ("full" []; "ecp" [block,
  /// lookback]).
  static Pattern parse(std::string_view kind, std::span<const std::int64_t> parameters);

  [[nodiscard]] constexpr PatternKind kind() const { return kind_; }
  [[nodiscard]] std::string_view kind_name() const;
  /// The integers of its spelling: `parse(kind_name(), parameters())` is this pattern again.
  [[nodiscard]] std::vector<std::int64_t> parameters() const;
  [[nodiscard]] constexpr std::int64_t block() const { return block_; }
  [[nodiscard]] constexpr std::int64_t lookback() const { return lookback_; }

  /// The keys that `row` of a stream sees.
  [[nodiscard]] constexpr Interval at(std::int64_t row) const {
    if (kind_ == PatternKind::full) return {0, row + 1};
    const std::int64_t first = (row / block_ - lookback_) * block_;
    return {first > 0 ? first : 0, row + 1};
  }
  /// Largest number r such that rows [row, r) share one `lo`; the natural tile of queries (INT64_MAX if
  /// unbounded).
  [[nodiscard]] constexpr std::int64_t tile_end(std::int64_t row) const {
    return kind_ == PatternKind::full ? INT64_MAX : (row / block_ + 1) * block_;
  }

  /// Attention entries of one layer and head over a sequence of `rows`.
  [[nodiscard]] Entries entries(std::int64_t rows) const;
  /// max (i − lo) over all rows of an endless stream: the keys before itself that a row can see. −1 if
  /// unbounded.
  [[nodiscard]] std::int64_t halo() const;
  /// Earliest row whose input can influence `row` through `layers` layers: intervals composed.
  [[nodiscard]] std::int64_t reach(std::int64_t row, std::int64_t layers) const;

  constexpr bool operator==(const Pattern&) const = default;

 private:
  constexpr Pattern(PatternKind kind, std::int64_t block, std::int64_t lookback)
      : kind_(kind), block_(block), lookback_(lookback) {}

  PatternKind kind_;
  std::int64_t block_;
  std::int64_t lookback_;
};

}  // namespace ecp
