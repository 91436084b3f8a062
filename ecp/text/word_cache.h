// Ids of words that were met before. Text repeats its words, and looking one up is much cheaper than
// encoding it. For sources of this room.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <string_view>
#include <vector>

#include "ecp/text/tokenizer.h"

namespace ecp::text {

/// For one thread at a time. 8 MB at most, of which only what is used is taken: a word has two places, a
/// cache line each, and the newer of two pushes out the older. Words that are long, or of many ids, are not
/// kept.
class WordCache {
 public:
  WordCache() {
    constexpr std::size_t bytes = 2 * sets * sizeof(Entry);
    std::size_t room = bytes + alignof(Entry);
    memory_.reset(std::calloc(room, 1));  // zeros, whose pages aren't taken before they are used
    void* begin = memory_.get();
    if (begin == nullptr) throw std::bad_alloc();
    entries_ = static_cast<Entry*>(std::align(alignof(Entry), bytes, begin, room));
  }

  /// Appends the ids of `word` if they are known.
  bool find(std::string_view word, std::vector<Token>& ids) const {
    if (word.size() > longest || word.empty()) return false;
    const Entry* const two = places(word);
    for (const Entry* entry : {two, two + 1}) {
      if (entry->length != word.size() || std::memcmp(entry->word, word.data(), word.size()) != 0) continue;
      ids.insert(ids.end(), entry->ids, entry->ids + entry->count);
      return true;
    }
    return false;
  }

  void insert(std::string_view word, std::span<const Token> ids) {
    if (word.size() > longest || word.empty() || ids.size() > most_ids) return;
    Entry* const two = places(word);
    two[1] = two[0];
    two->length = static_cast<std::uint8_t>(word.size());
    two->count = static_cast<std::uint8_t>(ids.size());
    std::memcpy(two->word, word.data(), word.size());
    std::copy(ids.begin(), ids.end(), two->ids);
  }

 private:
  static constexpr std::size_t longest = 26, most_ids = 9;
  static constexpr unsigned log_sets = 16;
  static constexpr std::size_t sets = std::size_t{1} << log_sets;

  struct alignas(64) Entry {
    std::uint8_t length, count;
    char word[longest];
    Token ids[most_ids];
  };
  static_assert(sizeof(Entry) == 64);
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };

  static std::uint64_t load(const char* bytes, std::size_t count) {
    std::uint64_t value = 0;
    std::memcpy(&value, bytes, count);
    return value;
  }

  [[nodiscard]] Entry* places(std::string_view word) const {
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
    // Only a product's upper bits depend on all of its factors' bits.
    return entries_ + 2 * (hash * multiplier >> (64 - log_sets));
  }
  static std::uint64_t mix(std::uint64_t value) { return value ^ value >> 32; }

  std::unique_ptr<void, Free> memory_;
  Entry* entries_ = nullptr;  // of zeros at first: no word is empty
};

}  // namespace ecp::text
