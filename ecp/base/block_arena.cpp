#include "ecp/base/block_arena.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <limits>

namespace ecp {
namespace {

constexpr std::size_t page = 4096, huge_page = std::size_t{2} << 20;

/// Address space worth taking at once: all blocks of a machine fit, so that they can all be joined. None
/// where the process's address space is limited.
std::size_t first_region() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur != RLIM_INFINITY) return 0;
  const long pages = ::sysconf(_SC_PHYS_PAGES), size = ::sysconf(_SC_PAGESIZE);
  return pages > 0 && size > 0 ? static_cast<std::size_t>(pages) * static_cast<std::size_t>(size) : 0;
}

std::byte* map(std::size_t bytes, int flags) {
  void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
  return at == MAP_FAILED ? nullptr : static_cast<std::byte*>(at);
}

}  // namespace

BlockArena::~BlockArena() {
  for (const auto& [at, size] : regions_) ::munmap(at, size);
}

void* BlockArena::allocate(std::size_t bytes) {
  if (bytes > std::numeric_limits<std::size_t>::max() / 2) return nullptr;
  const std::size_t size = std::max(page, (bytes + page - 1) / page * page);
  const std::lock_guard lock(mutex_);
  auto found = free_by_size_.lower_bound({size, nullptr});
  if (found == free_by_size_.end()) {
    if (!grow(size)) return nullptr;
    found = free_by_size_.lower_bound({size, nullptr});
  }
  const auto [whole, at] = *found;
  remove_free(free_.find(at));
  if (whole > size) add_free(at + size, whole - size);
  used_.emplace(at, size);
  used_bytes_ += size;
  return at;
}

bool BlockArena::free(void* block) {
  const std::lock_guard lock(mutex_);
  const auto found = used_.find(static_cast<std::byte*>(block));
  if (found == used_.end()) return false;
  std::byte* at = found->first;
  std::size_t size = found->second;
  used_.erase(found);
  used_bytes_ -= size;
  // Regions are apart: touching ones of the kernel's must not be joined, for they are returned one by one.
  auto next = free_.lower_bound(at);
  if (next != free_.end() && at + size == next->first && !regions_.contains(next->first)) {
    size += next->second;
    remove_free(next++);
  }
  if (next != free_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == at && !regions_.contains(at)) {
      at = before->first;
      size += before->second;
      remove_free(before);
    }
  }
  add_free(at, size);
  return true;
}

std::size_t BlockArena::used() const {
  const std::lock_guard lock(mutex_);
  return used_bytes_;
}

/// A region with room for a block of `bytes`. Only the first, which no more than the machine's memory is
/// asked of, goes uncounted; of later ones the kernel may say that they are too large.
bool BlockArena::grow(std::size_t bytes) {
  std::size_t size = regions_.empty() ? first_region() : 0;
  std::byte* at = nullptr;
  if (size > bytes) at = map(size += huge_page, MAP_NORESERVE);
  if (at == nullptr) at = map(size = (bytes + huge_page - 1) / huge_page * huge_page + huge_page, 0);
  if (at == nullptr) return false;
  ::madvise(at, size, MADV_HUGEPAGE);  // a kernel without them says no, and small pages serve
  regions_.emplace(at, size);
  add_free(at, size);
  return true;
}

void BlockArena::add_free(std::byte* at, std::size_t size) {
  free_.emplace(at, size);
  free_by_size_.emplace(size, at);
}

void BlockArena::remove_free(Sizes::iterator at) {
  free_by_size_.erase({at->second, at->first});
  free_.erase(at);
}

}  // namespace ecp
