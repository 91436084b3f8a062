// SentencePiece's BPE encoder without its messages: the same ids, several times as fast.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ecp/text/sentencepiece.h"

namespace ecp::text {

class SentencePieceBpe {
 public:
  /// Absent for models that aren't BPE, and for those with pieces marked unused or with hundreds of
  /// user-defined symbols, which only SentencePiece itself takes care of.
  static std::optional<SentencePieceBpe> make(const SafeModel& model, const std::array<Token, 256>& byte_ids);

  /// Appends the ids of `text`: UTF-8 without NUL and space marks, in which spaces are spaces.
  void encode(std::string_view text, std::vector<Token>& ids) const;

 private:
  struct Entry {
    Token id = 0;
    float score = 0;
    bool reserved = false;  // never merged into: control, unknown and byte pieces
  };
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  /// Bytes of the user-defined symbol that `text` begins with, 0 if there is none.
  [[nodiscard]] std::size_t symbol_at(std::string_view text) const;

  std::unordered_map<std::string, Entry, TextHash, std::equal_to<>> pieces_;
  std::size_t longest_ = 0;           // bytes of a piece
  std::vector<std::string> symbols_;  // user-defined, longest first
  Token unknown_ = 0;
  std::array<Token, 256> byte_ids_{};
};

}  // namespace ecp::text
