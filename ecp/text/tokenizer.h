// Text to token ids and back. Kinds: bytes (256 ids, no end-of-text token) and SentencePiece (BPE, unigram).
//
// decode(encode(x)) == x for every UTF-8 text x (for bytes: every string). Text is encoded segment by segment
// (`next_segment` of text/utf8.h), so that encode(a + b) == encode(a) + encode(b) wherever a segment ends,
// time is linear, and a document may be encoded in pieces. For models trained here the result is that of the
// whole text, because no piece of theirs spans segments.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ecp/base/files.h"

namespace ecp {

using Token = std::uint32_t;

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  [[nodiscard]] virtual std::string kind() const = 0;  // "bytes", "sentencepiece"
  [[nodiscard]] virtual std::int64_t vocab_size() const = 0;
  /// The token that ends a document, if the tokenizer has one.
  [[nodiscard]] virtual std::optional<Token> end_of_text() const = 0;
  /// Appends the ids of `text`. Thread-safe. Fails on text that isn't UTF-8 (not for bytes).
  virtual void encode(std::string_view text, std::vector<Token>& ids) const = 0;
  /// The bytes that a token stands for (may be part of a UTF-8 character; empty for end-of-text). Decoding is
  /// their concatenation. Fails if token ≥ vocab_size.
  [[nodiscard]] virtual std::string_view bytes_of(Token token) const = 0;
  /// False for a .model file that came without a recorded hash: nobody could check it before it was read.
  [[nodiscard]] virtual bool verified() const { return true; }
  /// Identity: equal hashes mean equal ids for equal text.
  [[nodiscard]] virtual std::string hash() const = 0;
  /// Writes tokenizer.json {"format": "ecp-tokenizer", "version": 1, "kind", "vocab_size", "hash", ...} and
  /// what belongs to it (tokenizer.model) into an existing folder.
  virtual void save(const Path& folder) const = 0;

  [[nodiscard]] std::vector<Token> encode(std::string_view text) const;
  [[nodiscard]] std::string decode(std::span<const Token> ids) const;
};

std::shared_ptr<const Tokenizer> byte_tokenizer();
/// From a folder written by `save`, or a SentencePiece .model file (BPE or unigram, with byte fallback). A
/// folder's model is compared with its recorded hash before anything reads it. A model's own normaliser,
/// dummy prefix and removal of white space are never applied, so that nothing of the text is lost.
std::shared_ptr<const Tokenizer> load_tokenizer(const Path& path);

struct SentencePieceTraining {
  std::string type = "bpe";  // or "unigram"
  std::int64_t vocab_size = 4096;
  std::int64_t threads = 0;  // 0: all available CPUs
  std::uint64_t seed = 1;
  std::uint64_t most_bytes = std::uint64_t{256} << 20;  // training text beyond it is sampled
};
/// Trains on the texts that `next` gives until it returns false: identity normaliser, byte fallback, newline
/// as a symbol, no dummy prefix; an end-of-text token. Fails if the text is too short for the vocabulary. The
/// same text, options and number of threads give the same model.
std::shared_ptr<const Tokenizer> train_sentencepiece(const SentencePieceTraining& options,
                                                     const std::function<bool(std::string&)>& next);

}  // namespace ecp
