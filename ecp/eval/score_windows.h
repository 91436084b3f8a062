// Which windows of a text are run through a model, and which of their rows count. Arithmetic only.
//
// A text of `length` tokens has length − 1 targets: token t (1 ≤ t < length) is predicted from the tokens
// before it. A window with `rows` rows starting at token `begin` has inputs [begin, begin + rows) and targets
// [begin + 1, begin + rows + 1): its row r predicts token begin + r + 1 from r + 1 tokens of context.
#pragma once

#include <cstdint>
#include <string>

namespace ecp {

enum class Protocol : std::uint8_t {
  standard,  // each target counted once, with at least `context` tokens before it inside its window
  authors,   // windows of n with stride ⌊n/2⌋, every row of each window counted (arXiv 2412.06106's
             // evaluation)
};

Protocol parse_protocol(const std::string& name);
std::string name_of(Protocol protocol);

struct ScoreWindow {
  std::uint64_t begin = 0;
  std::int64_t rows = 0;
  std::int64_t first = 0;  // rows [first, rows) count
  bool operator==(const ScoreWindow&) const = default;
};

class ScoreWindows {
 public:
  /// `window` = n ≥ 1 rows, of which at most the last `scored_rows` count (1 … n; 0: n), since latent
  /// architectures have no others. Standard: stride min(n − context, scored_rows) with 0 ≤ context < n; the
  /// first window is scored_rows long and counts whole, whatever context its rows have, those after it grow
  /// to n, the last one is short if the text ends inside it. context 0: disjoint windows. Authors: whole
  /// windows only (one short window if the text is shorter); a rest below the stride isn't counted.
  ScoreWindows(std::uint64_t length, std::int64_t window, std::int64_t context, Protocol protocol,
               std::int64_t scored_rows = 0);

  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] ScoreWindow at(std::uint64_t index) const;
  /// Rows that count, over all windows.
  [[nodiscard]] std::uint64_t scored() const;

 private:
  Protocol protocol_;
  std::uint64_t targets_, window_, scored_rows_;
  std::uint64_t stride_ = 1, count_ = 0;
};

}  // namespace ecp
