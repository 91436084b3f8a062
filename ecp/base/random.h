// Counter-based random numbers (Philox 4x32-10, Salmon et al. 2011): a pure function of key and counter, so
// that dropout, shuffling and sampling don't depend on threads, chunks or ranks, and need no state to be
// saved.
#pragma once

#include <array>
#include <cstdint>

namespace ecp {

using Counter = std::array<std::uint32_t, 4>;

constexpr Counter philox(Counter counter, std::uint64_t key) {
  auto k0 = static_cast<std::uint32_t>(key);
  auto k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * counter[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<std::uint32_t>(p1 >> 32) ^ counter[1] ^ k0, static_cast<std::uint32_t>(p1),
               static_cast<std::uint32_t>(p0 >> 32) ^ counter[3] ^ k1, static_cast<std::uint32_t>(p0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return counter;
}

/// The 64 bits at (key, a, b).
constexpr std::uint64_t random_bits(std::uint64_t key, std::uint64_t a, std::uint64_t b = 0) {
  const Counter r = philox({static_cast<std::uint32_t>(a), static_cast<std::uint32_t>(a >> 32),
                            static_cast<std::uint32_t>(b), static_cast<std::uint32_t>(b >> 32)},
                           key);
  return std::uint64_t{r[0]} << 32 | r[1];
}

/// Uniform in [0, 1), 53 bits, at (key, a, b).
constexpr double random_uniform(std::uint64_t key, std::uint64_t a, std::uint64_t b = 0) {
  return static_cast<double>(random_bits(key, a, b) >> 11) * 0x1.0p-53;
}

/// A whole number in [0, bound), bound ≥ 1, at (key, a, b), by fixed-point scaling (bias below bound / 2^64).
constexpr std::uint64_t random_below(std::uint64_t bound, std::uint64_t key, std::uint64_t a,
                                     std::uint64_t b = 0) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<std::uint64_t>(Wide{random_bits(key, a, b)} * bound >> 64);
}

}  // namespace ecp
