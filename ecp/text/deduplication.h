// Texts that were met before, by their hashes: 128 bits each, so that among 10^12 texts two different ones
// are taken for equal with a probability below 10^-14 (by chance; hashes don't guard against malice).
#pragma once

#include <cstddef>
#include <vector>

#include "ecp/base/hash.h"

namespace ecp {

/// A set of hashes. Memory: 20 to 40 bytes for each, half as much again while it grows.
class HashSet {
 public:
  /// False if it was there already.
  bool insert(Hash128 hash);
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  [[nodiscard]] std::size_t place_of(Hash128 hash) const;
  void grow();

  std::vector<Hash128> slots_;  // open addressing; the hash of zeros stands for an empty slot
  std::size_t size_ = 0;
};

}  // namespace ecp
