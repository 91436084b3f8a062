// Text for tests: sentences drawn from a small language, and the awkward spellings that tokenizers trip over.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "ecp/base/files.h"
#include "ecp/base/random.h"
#include "ecp/text/tokenizer.h"
#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"

namespace ecp::test {

/// Zipf-like words made of syllables, in sentences and lines.
inline std::string sample_text(std::size_t words, std::uint64_t seed = 1) {
  static const char* const syllables[] = {"ba",  "lo", "mi", "ten", "ra", "ous",
                                          "qui", "é",  "st", "und", "ñ",  "ing"};
  std::string text;
  for (std::size_t i = 0; i < words; ++i) {
    const double u = random_uniform(seed, i, 1);
    const auto word = static_cast<std::uint64_t>(300 * u * u * u);
    for (std::uint64_t k = 0; k < 1 + word % 4; ++k) text += syllables[random_below(12, 7, word, k)];
    const std::uint64_t end = random_below(40, seed, i, 2);
    text += end == 0 ? "\n\n" : end < 3 ? ".\n" : end < 6 ? ", " : end == 6 ? "  " : " ";
  }
  return text;
}

inline std::shared_ptr<const Tokenizer> train_on(const std::string& text, const std::string& type,
                                                 std::int64_t vocab_size) {
  SentencePieceTraining options;
  options.type = type;
  options.vocab_size = vocab_size;
  options.threads = 2;
  bool given = false;
  return train_sentencepiece(options, [&](std::string& out) {
    if (given) return false;
    out = text;
    return given = true;
  });
}

/// One tokenizer of each kind, trained once on text that has special spellings in it.
inline const std::vector<std::shared_ptr<const Tokenizer>>& sample_tokenizers() {
  static const auto tokenizers = [] {
    std::string text = sample_text(20000);
    for (int i = 0; i < 200; ++i) {
      text +=
          "say <0x41> or <unk> or <eos> or </s> or <|end-of-text|> or <|unknown|>\n    indented ▁ mark ▅ "
          "block\ttab\r\n";
    }
    return std::vector<std::shared_ptr<const Tokenizer>>{byte_tokenizer(), train_on(text, "bpe", 600),
                                                         train_on(text, "unigram", 500)};
  }();
  return tokenizers;
}

/// The folder of data that not every machine has, or empty.
inline Path shared_folder() {
  const char* set = std::getenv("ECP_SHARED");
  const Path path = set != nullptr ? Path(set) : Path(ECP_SOURCE_DIR) / ".." / "shared";
  return std::filesystem::exists(path / "data") ? path : Path();
}

}  // namespace ecp::test
