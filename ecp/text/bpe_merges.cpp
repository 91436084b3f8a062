#include "ecp/text/bpe_merges.h"

#include <algorithm>
#include <bit>
#include <functional>

namespace ecp::text {

BpeMerges::BpeMerges(std::size_t count)
    : entries_(std::bit_ceil(2 * count + 2)), mask_(entries_.size() - 1) {}

bool BpeMerges::insert(Token left, Token right, BpeMerge merge) {
  const std::uint64_t key = std::uint64_t{left} << 32 | right;
  std::size_t i = place(key);
  for (; entries_[i].key != empty; i = (i + 1) & mask_) {
    if (entries_[i].key == key) return false;
  }
  entries_[i] = {key, merge};
  return true;
}

void BpeMerger::propose(const BpeMerges& merges, std::uint32_t left, std::uint32_t right) {
  const BpeMerge* merge = merges.find(symbols_[left].token, symbols_[right].token);
  if (merge == nullptr) return;
  heap_.push_back({merge->rank, left, merge->result});
  std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
}

void BpeMerger::merge(const BpeMerges& merges, std::vector<Token>& word) {
  if (word.size() < 2) return;
  const auto size = static_cast<std::uint32_t>(word.size());
  symbols_.clear();
  heap_.clear();
  for (std::uint32_t i = 0; i < size; ++i)
    symbols_.push_back({word[i], i > 0 ? i - 1 : none, i + 1 < size ? i + 1 : none, false});
  for (std::uint32_t i = 0; i + 1 < size; ++i) propose(merges, i, i + 1);
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    const Candidate top = heap_.back();
    heap_.pop_back();
    Symbol& left = symbols_[top.position];
    if (left.merged_away || left.next == none) continue;
    // The pair may have changed since it was proposed; what counts, as in `tokenizers`, is its result.
    const BpeMerge* merge = merges.find(left.token, symbols_[left.next].token);
    if (merge == nullptr || merge->result != top.result) continue;
    Symbol& right = symbols_[left.next];
    left.token = top.result;
    left.next = right.next;
    right.merged_away = true;
    if (left.next != none) symbols_[left.next].previous = top.position;
    if (left.previous != none) propose(merges, left.previous, top.position);
    if (left.next != none) propose(merges, top.position, left.next);
  }
  word.clear();
  for (std::uint32_t i = 0; i != none; i = symbols_[i].next) word.push_back(symbols_[i].token);
}

}  // namespace ecp::text
