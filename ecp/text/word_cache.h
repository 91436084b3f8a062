// Ids of words that were met before. Text repeats its words, and looking one up is much cheaper than
// encoding it. For sources of this room.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "ecp/text/tokenizer.h"

namespace ecp::text {

/// A table of fixed size in which a word has one place, so that a newer word may push out an older one.
class WordCache {
 public:
  WordCache() : entries_(new Entry[size]()) {}

  /// Appends the ids of `word` if they are known.
  bool find(std::string_view word, std::vector<Token>& ids) const {
    if (word.size() > longest || word.empty()) return false;
    const Entry& entry = entries_[place(word)];
    if (entry.length != word.size() || std::memcmp(entry.word.data(), word.data(), word.size()) != 0)
      return false;
    ids.insert(ids.end(), entry.ids.begin(), entry.ids.begin() + entry.count);
    return true;
  }

  /// Words that are long or have many ids are not kept.
  void insert(std::string_view word, std::span<const Token> ids) {
    if (word.size() > longest || word.empty() || ids.size() > most_ids) return;
    Entry& entry = entries_[place(word)];
    entry.length = static_cast<std::uint8_t>(word.size());
    entry.count = static_cast<std::uint8_t>(ids.size());
    std::memcpy(entry.word.data(), word.data(), word.size());
    std::copy(ids.begin(), ids.end(), entry.ids.begin());
  }

 private:
  static constexpr std::size_t longest = 30, most_ids = 8, size = std::size_t{1} << 15;

  struct alignas(64) Entry {
    std::uint8_t length, count;
    std::array<char, longest> word;
    std::array<Token, most_ids> ids;
  };
  static_assert(sizeof(Entry) == 64);

  static std::uint64_t load(const char* bytes, std::size_t count) {
    std::uint64_t value = 0;
    std::memcpy(&value, bytes, count);
    return value;
  }

  static std::size_t place(std::string_view word) {
    constexpr std::uint64_t multiplier = 0x9E3779B97F4A7C15u;
    const char* bytes = word.data();
    std::size_t left = word.size();
    std::uint64_t hash = left * multiplier;
    for (; left > 8; left -= 8, bytes += 8) hash = mix((hash ^ load(bytes, 8)) * multiplier);
    if (left == 8) {
      hash ^= load(bytes, 8);
    } else if (left >= 4) {
      hash ^= load(bytes, 4) | load(bytes + left - 4, 4) << 32;
    } else {
      hash ^= load(bytes, 1) | load(bytes + left / 2, 1) << 8 | load(bytes + left - 1, 1) << 16;
    }
    return mix(hash * multiplier) & (size - 1);
  }
  static std::uint64_t mix(std::uint64_t value) { return value ^ value >> 32; }

  std::unique_ptr<Entry[]> entries_;
};

}  // namespace ecp::text
