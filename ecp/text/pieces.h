// A corpus in pieces that a given tokenizer can encode one by one.
#pragma once

#include <string>

#include "ecp/text/corpus.h"
#include "ecp/text/tokenizer.h"

namespace ecp {

/// The reader's pieces, cut where the tokenizer allows it (`Tokenizer::last_cut`); what comes after the last
/// such place waits for the next piece. Memory: a piece, or as much text as there is without such a place.
class PieceReader {
 public:
  PieceReader(CorpusReader& reader, const Tokenizer& tokenizer) : reader_(reader), tokenizer_(tokenizer) {}

  /// Sets `continues` as well. Fails on more than 256 MiB of text that can't be cut.
  bool next(CorpusPiece& piece);

 private:
  CorpusReader& reader_;
  const Tokenizer& tokenizer_;
  std::string waiting_;
  std::uint64_t words_ = 0;  // counted and not passed on
  std::size_t try_at_ = 0;   // bytes at which it is worth to look for a cut again
  bool within_document_ = false;
};

}  // namespace ecp
