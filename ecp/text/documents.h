// The documents of one file, for `CorpusReader`.
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

#include "ecp/base/hash.h"
#include "ecp/text/corpus.h"

namespace ecp {

/// A file read block by block, hashed on the way and, if asked for, checked to be UTF-8.
class InputFile {
 public:
  InputFile(const Path& path, bool check_utf8);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  /// Appends the next block, whole characters only if they are checked; false at the end of the file.
  bool read_block(std::string& buffer);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] SourceFile source() const { return {name_, bytes_, hasher_.digest()}; }

 private:
  std::string name_;
  std::FILE* file_;
  bool check_utf8_;
  std::string block_;  // begins with what the last block left of a character
  std::size_t left_ = 0;
  std::uint64_t bytes_ = 0;
  Hasher hasher_;
};

class DocumentReader {
 public:
  explicit DocumentReader(std::unique_ptr<InputFile> file) : file_(std::move(file)) {}
  virtual ~DocumentReader() = default;
  DocumentReader(const DocumentReader&) = delete;
  DocumentReader& operator=(const DocumentReader&) = delete;

  /// Sets text and ends_document; false after the last document.
  virtual bool next(CorpusPiece& piece) = 0;
  [[nodiscard]] const InputFile& file() const { return *file_; }

 protected:
  /// Pieces are about this long.
  static constexpr std::size_t piece_bytes = std::size_t{1} << 17;

  /// Moves the first `size` bytes of `buffer` into the piece.
  static void take(std::string& buffer, std::size_t size, bool ends_document, CorpusPiece& piece);

  std::unique_ptr<InputFile> file_;
};

std::unique_ptr<DocumentReader> make_document_reader(const Path& path, CorpusFormat format, bool any_bytes);

}  // namespace ecp
