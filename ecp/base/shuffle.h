// The order of samples over epochs: a permutation that is computed, not stored, and where one stands.
#pragma once

#include <cstdint>

namespace ecp {

/// A permutation of 0 … size−1 keyed by `key`: a Feistel network with cycle walking. No storage.
class Permutation {
 public:
  /// Fails if size is 0 or above 2^62.
  Permutation(std::uint64_t size, std::uint64_t key);
  [[nodiscard]] std::uint64_t operator()(std::uint64_t index) const;

 private:
  std::uint64_t size_, key_;
  int half_bits_;
};

/// Where a source of samples stands; part of a checkpoint.
struct EpochPosition {
  std::uint64_t epoch = 0;
  std::uint64_t index = 0;  // samples of this epoch already drawn, below the epoch's number of them
  std::uint64_t drawn = 0;  // samples drawn over all epochs
  bool operator==(const EpochPosition&) const = default;
};

}  // namespace ecp
