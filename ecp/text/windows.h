// Training samples: windows of n+1 consecutive tokens (n inputs and their n targets), each used once per
// epoch in the order of a seeded permutation that is computed, not stored. Windows start at multiples of n
// plus an offset drawn per epoch. Several files with weights make a mixture.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ecp/base/shuffle.h"
#include "ecp/text/token_file.h"

namespace ecp {

/// Where a source stands: windows drawn.
using WindowPosition = EpochPosition;

struct Window {
  std::int64_t file = 0;     // which source
  std::uint64_t begin = 0;   // its first token
  std::uint64_t sample = 0;  // global index of the sample in the run; keys its dropout
  bool operator==(const Window&) const = default;
};

class WindowSampler {
 public:
  /// Fails, naming the file, if one is shorter than n + 1 tokens, if tokenizers differ or if weights aren't
  /// one finite number ≥ 0 per file with a positive sum. Weights: empty means by number of tokens.
  WindowSampler(std::vector<std::shared_ptr<const TokenFile>> files, std::vector<double> weights,
                std::int64_t n, std::uint64_t seed);

  /// The next window; the mixture always takes the source furthest behind its share.
  Window next();
  /// Tokens of the window, n + 1 of them.
  void read(const Window& window, std::span<std::int64_t> out) const;
  /// With packed documents: for each of the n input rows, the window row at which its document starts
  /// (`document_start` of the attention operator), as `TokenFile::document_starts` tells.
  void document_starts(const Window& window, std::span<std::int32_t> out) const;

  [[nodiscard]] std::vector<WindowPosition> position() const { return positions_; }
  /// Continues where `position` was taken. Fails if the positions can't be of these files.
  void restore(const std::vector<WindowPosition>& positions);
  /// Windows of an epoch: ⌊(tokens − 1 − offset) / n⌋ with the epoch's offset, which is below n.
  [[nodiscard]] std::uint64_t windows_per_epoch(std::size_t file, std::uint64_t epoch = 0) const;

 private:
  [[nodiscard]] std::uint64_t offset(std::size_t file, std::uint64_t epoch) const;

  std::vector<std::shared_ptr<const TokenFile>> files_;
  std::vector<double> shares_;
  std::int64_t n_;
  std::uint64_t seed_;
  std::vector<WindowPosition> positions_;
};

}  // namespace ecp
