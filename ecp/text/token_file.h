// Token files: NAME.npy (one-dimensional, little-endian uint16 or uint32, so that numpy can map it) and the
// sidecar NAME.json that says what the tokens are.
//
// Every document is followed by the tokenizer's end-of-text token, if it has one; `documents` holds the
// offset of each document's first token, so document i is [documents[i], documents[i+1]) with its end-of-text
// token.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ecp/base/files.h"
#include "ecp/text/tokenizer.h"

namespace ecp {

struct TokenFileInfo {
  std::string tokenizer_kind;
  std::string tokenizer_hash;
  std::int64_t vocab_size = 0;
  std::optional<Token> end_of_text;
  std::uint64_t tokens = 0;
  std::uint64_t words = 0;  // of the original text (text/corpus.h says how they are counted)
  std::uint64_t bytes = 0;  // of the original text
  std::string hash;         // of the .npy file
  std::vector<std::uint64_t> documents;
};

/// A mapped token file. Opening checks magic, dtype, shape against the file's size and the sidecar against
/// the .npy; fails with one line otherwise.
class TokenFile {
 public:
  /// `path` names the .npy file.
  explicit TokenFile(const Path& path);

  [[nodiscard]] const Path& path() const { return path_; }
  [[nodiscard]] const TokenFileInfo& info() const { return info_; }
  [[nodiscard]] std::uint64_t size() const { return info_.tokens; }
  [[nodiscard]] Token operator[](std::uint64_t position) const;
  /// Copies tokens [begin, begin + out.size()); fails beyond the end, or on an id ≥ vocab_size.
  void read(std::uint64_t begin, std::span<std::int64_t> out) const;
  /// The tokenizer saved beside the data (NAME.tokenizer/), checked against the recorded hash.
  [[nodiscard]] std::shared_ptr<const Tokenizer> tokenizer() const;
  /// Re-reads the data and compares its hash with the sidecar's; fails on a difference.
  void verify() const;

 private:
  Path path_;
  TokenFileInfo info_;
  MappedFile file_;
  const std::byte* data_ = nullptr;
  bool wide_ = false;
};

/// Writes a token file in pieces; nothing appears under its name before `commit`. uint16 where the vocabulary
/// fits.
class TokenFileWriter {
 public:
  TokenFileWriter(Path path, std::shared_ptr<const Tokenizer> tokenizer);
  ~TokenFileWriter();
  TokenFileWriter(const TokenFileWriter&) = delete;
  TokenFileWriter& operator=(const TokenFileWriter&) = delete;

  /// One document (the end-of-text token is added here), with its counts of words and bytes.
  void add_document(std::span<const Token> tokens, std::uint64_t words, std::uint64_t bytes);
  TokenFileInfo commit();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ecp
