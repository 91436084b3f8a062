// Ids of segments already met. Text repeats its words, and looking one up is much cheaper than merging
// pieces.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <new>
#include <span>
#include <string_view>

#include "ecp/text/tokenizer.h"

namespace ecp::text {

/// For one thread at a time. 8 MB at most, of which only what is used is taken: a segment has two places, one
/// cache line each, and the last one met pushes an older one out. Segments that are long, or of many tokens,
/// are not kept.
class SegmentCache {
 public:
  SegmentCache() : slots_(static_cast<Slot*>(std::calloc(2 * sets, sizeof(Slot)))) {
    if (slots_ == nullptr) throw std::bad_alloc();
  }

  /// Valid until the next call; empty if the segment (of at least one byte) isn't kept.
  [[nodiscard]] std::span<const Token> find(std::string_view segment) const {
    if (segment.size() > longest) return {};
    const Slot* const two = set_of(segment);
    for (const Slot* slot : {two, two + 1}) {
      if (std::string_view(slot->text, slot->length) == segment) return {slot->ids, slot->count};
    }
    return {};
  }

  void insert(std::string_view segment, std::span<const Token> ids) {
    if (segment.size() > longest || ids.size() > most_ids) return;
    Slot* const two = set_of(segment);
    two[1] = two[0];
    two->length = static_cast<std::uint8_t>(segment.size());
    two->count = static_cast<std::uint8_t>(ids.size());
    segment.copy(two->text, segment.size());
    std::copy(ids.begin(), ids.end(), two->ids);
  }

 private:
  static constexpr std::size_t sets = std::size_t{1} << 16, longest = 22, most_ids = 10;

  struct Slot {
    std::uint8_t length, count;
    char text[longest];
    Token ids[most_ids];
  };
  static_assert(sizeof(Slot) == 64);
  struct Free {
    void operator()(Slot* slots) const { std::free(slots); }
  };

  [[nodiscard]] Slot* set_of(std::string_view segment) const {
    return slots_.get() + 2 * (std::hash<std::string_view>()(segment) % sets);
  }

  std::unique_ptr<Slot[], Free> slots_;  // zeros at first: places of empty segments, which nobody looks for
};

}  // namespace ecp::text
