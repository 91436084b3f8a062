// The documents of one file, for `CorpusReader`.
#pragma once

#include <memory>
#include <string>

#include "ecp/text/corpus.h"
#include "ecp/text/input_file.h"

namespace ecp {

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
