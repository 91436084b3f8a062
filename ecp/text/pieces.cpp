#include "ecp/text/pieces.h"

#include <utility>

#include "ecp/base/error.h"

namespace ecp {
namespace {

constexpr std::size_t most_waiting = std::size_t{256} << 20;

}  // namespace

bool PieceReader::next(CorpusPiece& piece) {
  for (CorpusPiece read; reader_.next(read);) {
    waiting_ += read.text;
    words_ += read.words;
    const bool look = !read.ends_document && waiting_.size() >= try_at_;
    const std::size_t cut = read.ends_document ? waiting_.size() : look ? tokenizer_.last_cut(waiting_) : 0;
    if (cut == 0 && !read.ends_document) {
      require(waiting_.size() <= most_waiting,
              "text of {} bytes without a place where the {} tokenizer can cut it: expected at most {}",
              waiting_.size(), tokenizer_.kind(), most_waiting);
      if (look) try_at_ = 2 * waiting_.size();
      continue;
    }
    piece.text.assign(waiting_, 0, cut);
    waiting_.erase(0, cut);
    piece.words = std::exchange(words_, 0);
    piece.continues = std::exchange(within_document_, !read.ends_document);
    piece.ends_document = read.ends_document;
    try_at_ = 0;
    return true;
  }
  return false;
}

}  // namespace ecp
