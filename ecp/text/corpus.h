// Corpora as streams of documents, in pieces of bounded size, with their words and bytes counted.
//
//   format     files (by extension)     document                            ends with end-of-text   words
//   text       .txt .text .md, others   a file                              yes                     (1)
//   jsonl      .jsonl .ndjson           the string "text" of a line         yes                     (1)
//   wikitext   .tokens                  an article, see below               no                      (1), line
//   ends bytes      only if asked for        a file; any bytes, as enwik8        no                      (1)
//
// Each may be compressed (text/compression.h), "novel.txt.gz"; the first bytes decide, for `bytes` the name.
// "-" is standard input, text unless a format is given.
//
// WikiText is kept byte for byte: its documents, concatenated, are the file. An article begins with the empty
// line (white space only) before its heading " = Title = ", a line with exactly one "=" at each end, which
// another empty line follows. Words (1) are maximal runs of characters that are not Unicode white space;
// WikiText's official counts have every line end as a word too.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ecp/base/files.h"
#include "ecp/text/token_file.h"
#include "ecp/text/utf8.h"

namespace ecp {

enum class CorpusFormat { automatic, text, jsonl, wikitext, bytes };

/// "auto", "text", "jsonl", "wikitext" or "bytes".
std::string_view name_of(CorpusFormat format);
CorpusFormat parse_corpus_format(std::string_view name);
/// Whether a document ends with the tokenizer's end-of-text token.
bool is_separated(CorpusFormat format);

/// A part of a document. Parts are cut at segments' boundaries (text/utf8.h), so that encoding them one by
/// one gives the tokens of the whole document.
struct CorpusPiece {
  std::string text;
  std::uint64_t words = 0;  // that begin in this piece
  bool ends_document = false;
  bool continues = false;  // its document began in a piece before it; set by `PieceReader`
};

/// Reads files one after another. Memory: a piece, a block and a decoder's window, and for JSONL a few times
/// its longest line.
class CorpusReader {
 public:
  /// Files, "-", and folders that stand for the files in them (recursively, sorted by path; hidden ones are
  /// left out, with `automatic` also those of unknown extensions). Fails if there are none, if one is missing
  /// or empty, or if `automatic` finds different formats.
  CorpusReader(const std::vector<Path>& inputs, CorpusFormat format);
  ~CorpusReader();
  CorpusReader(const CorpusReader&) = delete;
  CorpusReader& operator=(const CorpusReader&) = delete;

  /// With the format `bytes`, text that isn't UTF-8 is passed on only after this; else it is an error that
  /// names file and byte offset.
  void allow_any_bytes() { any_bytes_ = true; }

  /// The next piece, or false after the last. Fails on what the format doesn't allow (file:line for JSONL).
  bool next(CorpusPiece& piece);

  /// The format of all files; never `automatic`.
  [[nodiscard]] CorpusFormat format() const { return format_; }
  [[nodiscard]] const std::vector<Path>& files() const { return files_; }
  /// Bytes of the files as they are stored (compressed, where they are); 0 if one is a stream.
  [[nodiscard]] std::uint64_t bytes_total() const { return bytes_total_; }
  [[nodiscard]] std::uint64_t bytes_read() const;
  /// The files read to their ends so far.
  [[nodiscard]] const std::vector<SourceFile>& sources() const { return sources_; }

 private:
  std::vector<Path> files_;
  CorpusFormat format_;
  bool any_bytes_ = false;
  std::uint64_t bytes_total_ = 0, bytes_done_ = 0;
  std::size_t next_file_ = 0;
  std::unique_ptr<class DocumentReader> reader_;
  WordCounter counter_;
  std::uint64_t documents_ = 0;
  std::vector<SourceFile> sources_;
};

}  // namespace ecp
