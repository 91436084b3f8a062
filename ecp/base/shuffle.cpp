#include "ecp/base/shuffle.h"

#include <algorithm>
#include <bit>

#include "ecp/base/error.h"
#include "ecp/base/random.h"

namespace ecp {
namespace {

constexpr std::uint64_t rounds = 6;

}  // namespace

Permutation::Permutation(std::uint64_t size, std::uint64_t key) : size_(size), key_(key) {
  require(size > 0 && size <= std::uint64_t{1} << 62, "permutation: expected a size of 1 to 2^62, got {}",
          size);
  half_bits_ = std::max(1, static_cast<int>((std::bit_width(size - 1) + 1) / 2));
}

std::uint64_t Permutation::operator()(std::uint64_t index) const {
  require(index < size_, "permutation: index {} is not below its size, {}", index, size_);
  // The network permutes 0 … 4^half_bits − 1, less than four times `size`; an image outside is mapped again
  // until it is inside, which makes a permutation of 0 … size − 1.
  const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
  do {
    std::uint64_t left = index >> half_bits_, right = index & mask;
    for (std::uint64_t round = 0; round < rounds; ++round) {
      const std::uint64_t mixed = left ^ (random_bits(key_, right, round) & mask);
      left = right;
      right = mixed;
    }
    index = left << half_bits_ | right;
  } while (index >= size_);
  return index;
}

}  // namespace ecp
