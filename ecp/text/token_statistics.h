// What a corpus or a token file is made of: how often each token occurs, how long its documents are.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "ecp/base/progress.h"
#include "ecp/text/corpus.h"
#include "ecp/text/token_file.h"

namespace ecp {

/// Counts of numbers in bins of powers of two: bin 0 holds 0, bin i holds [2^(i−1), 2^i).
using Histogram = std::array<std::uint64_t, 65>;

struct TokenStatistics {
  std::uint64_t documents = 0, words = 0, bytes = 0;
  std::uint64_t tokens = 0;                // 0 without a tokenizer
  std::vector<std::uint64_t> occurrences;  // of each token; empty without a tokenizer
  Histogram lengths{};                     // of documents, in tokens (bytes without a tokenizer)
  std::uint64_t shortest = 0, longest = 0;

  [[nodiscard]] std::uint64_t distinct() const;
  /// How many tokens occur how often.
  [[nodiscard]] Histogram frequencies() const;
  /// The tokens that occur most often, at most `most` of them; equal ones by id.
  [[nodiscard]] std::vector<Token> most_frequent(std::size_t most) const;
};

/// Of a verified token file.
TokenStatistics statistics_of(const TokenFile& file, const ProgressFunction& progress = {});
/// Of text; `tokenizer` may be null. No end-of-text tokens are counted.
TokenStatistics statistics_of(CorpusReader& corpus, const Tokenizer* tokenizer,
                              const ProgressFunction& progress = {});

/// Words and bytes of the text that the first `size` tokens stand for; nothing where the tokenizer isn't
/// lossless, so that tokens don't tell. A word that is cut off counts.
struct TextCounts {
  std::uint64_t words = 0, bytes = 0;
  bool operator==(const TextCounts&) const = default;
};
std::optional<TextCounts> count_text(const TokenFile& file, std::uint64_t size);

}  // namespace ecp
