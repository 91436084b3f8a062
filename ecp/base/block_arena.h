// Memory for large blocks that come and go in the same sizes again and again, as the tensors of training
// steps do. What is freed stays with the process, joined with its free neighbours, for the next block; asking
// the kernel anew would cost a fault and a zeroed page for every 4 KB each time.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>

namespace ecp {

class BlockArena {
 public:
  BlockArena() = default;
  BlockArena(const BlockArena&) = delete;
  BlockArena& operator=(const BlockArena&) = delete;
  /// Every block's memory goes back to the kernel.
  ~BlockArena();

  /// A block of at least `bytes`, at a page's beginning, its contents anything, in huge pages where the
  /// kernel grants them: the smallest free one that fits. Null where the kernel refuses.
  void* allocate(std::size_t bytes);
  /// Takes back a block of `allocate`'s; false, having done nothing, for any other address.
  bool free(void* block);

  /// Bytes of the blocks now in use.
  [[nodiscard]] std::size_t used() const;

 private:
  using Sizes = std::map<std::byte*, std::size_t>;

  bool grow(std::size_t bytes);
  void add_free(std::byte* at, std::size_t size);
  void remove_free(Sizes::iterator at);

  mutable std::mutex mutex_;
  Sizes regions_, free_;  // by address; no two free ones of a region touch
  std::set<std::pair<std::size_t, std::byte*>> free_by_size_;
  std::unordered_map<std::byte*, std::size_t> used_;
  std::size_t used_bytes_ = 0;
};

}  // namespace ecp
