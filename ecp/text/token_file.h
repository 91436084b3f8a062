// Token files: NAME.npy (one-dimensional, little-endian uint16 or uint32, so that numpy can map it), the
// sidecar NAME.json that says what the tokens are, and the folder NAME.tokenizer/ (`Tokenizer::save`).
//
// `documents` holds the offset of each document's first token, so document i is [documents[i],
// documents[i+1]). Where `separated`, the tokenizer's end-of-text token is the last token of every document;
// bytes and WikiText, which has line ends of its own, do without.
//
//   {"format": "ecp-tokens", "version": 2, "corpus_format": "text", "tokens": 41, "words": 30, "bytes": 160,
//    "hash": "...", "tokenizer": {"kind": "sentencepiece", "hash": "...", "vocab_size": 4096, "end_of_text":
//    1}, "separated": true, "sources": [{"name": "emma.txt", "bytes": 160, "hash": "..."}], "documents": [0],
//    "xxh3": "..."}
//
// "xxh3" is a hash of the sidecar itself (base/own_hash.h); version 1 has none and is still read.
// With --deduplicate there is "duplicates": how many documents were left out because their text was that of
// an earlier one.
//
// The sidecar holds size and hash of the tokens and is written last, after any older one was removed: a
// writer that was killed leaves a .npy without a sidecar, which nothing opens, never one with a sidecar of
// other tokens.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ecp/base/files.h"
#include "ecp/base/progress.h"
#include "ecp/text/tokenizer.h"

namespace ecp {

/// A file that tokens were made from; bytes and hash are those of the text, whether it was compressed or not.
struct SourceFile {
  std::string name;
  std::uint64_t bytes = 0;
  std::string hash;
  bool operator==(const SourceFile&) const = default;
};

struct TokenFileInfo {
  std::string tokenizer_kind;
  std::string tokenizer_hash;
  std::int64_t vocab_size = 0;
  std::optional<Token> end_of_text;
  bool separated = false;     // every document ends with end_of_text
  std::string corpus_format;  // "text", "jsonl", "wikitext", "bytes"
  std::uint64_t tokens = 0;
  std::uint64_t words = 0;                  // of the original text (text/corpus.h says how they are counted)
  std::uint64_t bytes = 0;                  // of the original text
  std::string hash;                         // of the tokens: the .npy file without its header
  std::optional<std::uint64_t> duplicates;  // documents left out, where they were looked for
  std::vector<std::uint64_t> documents;
  std::vector<SourceFile> sources;
  bool operator==(const TokenFileInfo&) const = default;
};

/// NAME.json and NAME.tokenizer beside NAME.npy.
Path sidecar_path(const Path& npy);
Path tokenizer_path(const Path& npy);

/// A mapped token file. Opening checks magic, dtype and shape against the file's size, and the sidecar
/// against the .npy and itself (offsets in order and inside, counts that are possible, a length in proportion
/// to the tokens); fails with one line otherwise. `verify` checks the tokens themselves.
class TokenFile {
 public:
  /// `path` names the .npy file.
  explicit TokenFile(const Path& path);

  [[nodiscard]] const Path& path() const { return path_; }
  [[nodiscard]] const TokenFileInfo& info() const { return info_; }
  [[nodiscard]] std::uint64_t size() const { return info_.tokens; }
  /// Fails beyond the end, or on an id ≥ vocab_size.
  [[nodiscard]] Token operator[](std::uint64_t position) const;
  /// Copies tokens [begin, begin + out.size()); fails beyond the end, or on an id ≥ vocab_size.
  void read(std::uint64_t begin, std::span<std::int64_t> out) const;
  /// For each of out.size() inputs from token `begin` on, the one among them at which its document starts; 0
  /// if that is before `begin`. As an input, the end-of-text token between two documents is the start of the
  /// second, whose first token it predicts; so `begin` may be −1, the end of text before the first document.
  void document_starts(std::int64_t begin, std::span<std::int32_t> out) const;
  /// The tokenizer saved beside the data (NAME.tokenizer/), checked against the recorded hash.
  [[nodiscard]] std::shared_ptr<const Tokenizer> tokenizer() const;
  /// Reads all tokens, at the speed of memory or the disk: fails unless they have the sidecar's hash and are
  /// below vocab_size. Stops where a stop was requested (base/interrupt.h). Progress is that of files above
  /// 256 MB; others take a moment.
  void verify(const ProgressFunction& progress = {}) const;

 private:
  [[nodiscard]] Token at(std::uint64_t position) const;
  [[noreturn]] void fail_beyond_vocabulary(std::uint64_t position) const;

  Path path_;
  TokenFileInfo info_;
  MappedFile file_;
  const std::byte* data_ = nullptr;
  bool wide_ = false;
};

struct TokenFileOptions {
  std::string corpus_format = "text";
  bool separated = true;  // add the tokenizer's end-of-text token, if it has one, after each document
};

/// Writes a token file in pieces; nothing appears under its name before `commit`. uint16 where the vocabulary
/// fits. Memory: a buffer and eight bytes per document.
class TokenFileWriter {
 public:
  TokenFileWriter(Path path, std::shared_ptr<const Tokenizer> tokenizer, TokenFileOptions options = {});
  ~TokenFileWriter();
  TokenFileWriter(const TokenFileWriter&) = delete;
  TokenFileWriter& operator=(const TokenFileWriter&) = delete;

  /// One document (the end-of-text token is added here), with its counts of words and bytes.
  void add_document(std::span<const Token> tokens, std::uint64_t words, std::uint64_t bytes);
  /// The same in parts: any number of pieces, then `end_document`.
  void add_piece(std::span<const Token> tokens, std::uint64_t words, std::uint64_t bytes);
  void end_document();
  /// Takes back what was added of the document that hasn't ended, and counts it as a duplicate.
  void drop_document();
  /// Duplicates are looked for, even if there are none.
  void count_duplicates();
  void set_sources(std::vector<SourceFile> sources);
  /// Replaces a token file of that name. Fails if there are no tokens, or if NAME.tokenizer is a folder with
  /// other things in it. Where it fails nothing new is left under the names.
  TokenFileInfo commit();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ecp
