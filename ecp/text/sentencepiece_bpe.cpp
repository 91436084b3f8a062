#include "ecp/text/sentencepiece_bpe.h"

#include <algorithm>

#include "ecp/text/space_mark.h"

namespace ecp::text {
namespace {

constexpr std::size_t most_symbols = 200;

/// A part of the text that is one piece so far; parts merged into the one before are empty.
struct Part {
  std::string_view text;
  int before, after;  // -1: none
  bool frozen;        // a user-defined symbol
};

struct Merge {
  float score;
  int left, right;
  std::size_t size;  // bytes of both when it was found

  /// The best score comes first, of equal ones the leftmost.
  bool operator<(const Merge& other) const {
    return score < other.score || (score == other.score && left > other.left);
  }
};

std::size_t character_length(char first) {
  constexpr std::size_t lengths[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4};
  return lengths[static_cast<unsigned char>(first) >> 4];
}

}  // namespace

std::optional<SentencePieceBpe> SentencePieceBpe::make(const SafeModel& model,
                                                       const std::array<Token, 256>& byte_ids) {
  if (!model.is_bpe) return std::nullopt;
  SentencePieceBpe bpe;
  bpe.byte_ids_ = byte_ids;
  for (std::size_t i = 0; i < model.pieces.size(); ++i) {
    const Piece& piece = model.pieces[i];
    if (piece.type == PieceType::unused) return std::nullopt;
    const bool merged = piece.type == PieceType::normal || piece.type == PieceType::user_defined;
    if (piece.type == PieceType::user_defined) bpe.symbols_.push_back(piece.text);
    if (piece.type == PieceType::unknown) bpe.unknown_ = static_cast<Token>(i);
    if (merged) bpe.longest_ = std::max(bpe.longest_, piece.text.size());
    bpe.pieces_.emplace(piece.text, Entry{static_cast<Token>(i), piece.score, !merged});
  }
  if (bpe.symbols_.size() > most_symbols) return std::nullopt;
  std::sort(bpe.symbols_.begin(), bpe.symbols_.end(),
            [](const std::string& a, const std::string& b) { return a.size() > b.size(); });
  return bpe;
}

std::size_t SentencePieceBpe::symbol_at(std::string_view text) const {
  for (const std::string& symbol : symbols_) {
    if (text.starts_with(symbol)) return symbol.size();
  }
  return 0;
}

void SentencePieceBpe::encode(std::string_view text, std::vector<Token>& ids) const {
  std::string marked;
  for (const char c : text) c == ' ' ? marked += space_mark : marked += c;
  std::vector<Part> parts;
  for (std::string_view rest = marked; !rest.empty(); rest.remove_prefix(parts.back().text.size())) {
    const std::size_t symbol = symbol_at(rest);
    const std::size_t length = symbol > 0 ? symbol : std::min(character_length(rest.front()), rest.size());
    const int index = static_cast<int>(parts.size());
    parts.push_back({rest.substr(0, length), index - 1, index + 1, symbol > 0});
  }
  if (parts.empty()) return;
  parts.back().after = -1;

  std::vector<Merge> merges;  // a heap
  const auto consider = [&](int left, int right) {
    if (left < 0 || right < 0) return;
    const Part &a = parts[static_cast<std::size_t>(left)], &b = parts[static_cast<std::size_t>(right)];
    const std::size_t size = a.text.size() + b.text.size();
    if (a.frozen || b.frozen || size > longest_) return;
    const auto found = pieces_.find(std::string_view(a.text.data(), size));
    if (found == pieces_.end() || found->second.reserved) return;
    merges.push_back({found->second.score, left, right, size});
    std::push_heap(merges.begin(), merges.end());
  };
  for (int i = 1; i < static_cast<int>(parts.size()); ++i) consider(i - 1, i);
  while (!merges.empty()) {
    std::pop_heap(merges.begin(), merges.end());
    const Merge merge = merges.back();
    merges.pop_back();
    Part &a = parts[static_cast<std::size_t>(merge.left)], &b = parts[static_cast<std::size_t>(merge.right)];
    if (a.text.empty() || b.text.empty() || a.text.size() + b.text.size() != merge.size) continue;
    a.text = {a.text.data(), merge.size};
    a.after = b.after;
    if (b.after >= 0) parts[static_cast<std::size_t>(b.after)].before = merge.left;
    b.text = {};
    consider(a.before, merge.left);
    consider(merge.left, a.after);
  }
  for (int i = 0; i >= 0; i = parts[static_cast<std::size_t>(i)].after) {
    const std::string_view part = parts[static_cast<std::size_t>(i)].text;
    const auto found = pieces_.find(part);
    if (found != pieces_.end() && found->second.id != unknown_) {
      ids.push_back(found->second.id);
    } else {
      for (const char c : part) ids.push_back(byte_ids_[static_cast<unsigned char>(c)]);
    }
  }
}

}  // namespace ecp::text
