// Byte pair encoding of one word that is given as tokens of single characters or bytes. For sources of this
// room.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ecp/text/tokenizer.h"

namespace ecp::text {

struct BpeMerge {
  std::uint32_t rank;  // lower ones are done first
  Token result;
};

/// Pairs of tokens that become one.
class BpeMerges {
 public:
  explicit BpeMerges(std::size_t count = 0);
  /// False if there is one for this pair already. At most `count` of them.
  bool insert(Token left, Token right, BpeMerge merge);
  [[nodiscard]] const BpeMerge* find(Token left, Token right) const {
    const std::uint64_t key = std::uint64_t{left} << 32 | right;
    for (std::size_t i = place(key);; i = (i + 1) & mask_) {
      if (entries_[i].key == key) return &entries_[i].merge;
      if (entries_[i].key == empty) return nullptr;
    }
  }

 private:
  static constexpr std::uint64_t empty = UINT64_MAX;
  struct Entry {
    std::uint64_t key = empty;
    BpeMerge merge{};
  };
  [[nodiscard]] std::size_t place(std::uint64_t key) const {
    key = (key ^ key >> 31) * 0x9E3779B97F4A7C15u;
    return (key ^ key >> 32) & mask_;
  }

  std::vector<Entry> entries_;
  std::size_t mask_ = 0;
};

/// Does merges by rank, those of equal rank from left to right, in n log n. Keeps its memory.
class BpeMerger {
 public:
  /// Replaces the tokens of a word, fewer than 2^32, by what remains.
  void merge(const BpeMerges& merges, std::vector<Token>& word);

 private:
  static constexpr std::uint32_t none = UINT32_MAX;
  struct Symbol {
    Token token;
    std::uint32_t previous, next;
    bool merged_away;
  };
  struct Candidate {
    std::uint32_t rank, position;
    Token result;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : position > other.position;
    }
  };
  void propose(const BpeMerges& merges, std::uint32_t left, std::uint32_t right);

  std::vector<Symbol> symbols_;
  std::vector<Candidate> heap_;
};

}  // namespace ecp::text
