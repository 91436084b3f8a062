// Dropout as a pure function of its key: which elements fall is decided by a counter-based generator keyed by
// (seed, step, sample, layer, site, head) and counted by (row, element), so that recomputation, tiles,
// chunks, threads, batches and ranks don't change it.
//
// One Philox call decides 8 elements with 16 bits each. Elements are grouped by 128: element e takes part p =
// (e mod 128) / 16 of counter c = ⌊e / 128⌋·16 + e mod 16, that is bits 16·(p mod 2) of word p / 2, so that a
// vector of counters gives runs of consecutive elements at any vector width.
#pragma once

#include <cmath>
#include <cstdint>

#include "ecp/base/random.h"

namespace ecp::kernels {

enum class DropoutSite : std::uint8_t { attention, feed_forward };

/// The key of one sample's dropout at one place; `head` is 0 where there are none.
constexpr std::uint64_t dropout_stream(std::uint64_t seed, std::int64_t step, std::int64_t sample,
                                       std::int64_t layer, DropoutSite site, std::int64_t head) {
  const std::uint64_t of_sample =
      random_bits(seed, static_cast<std::uint64_t>(step), static_cast<std::uint64_t>(sample));
  const std::uint64_t of_layer = static_cast<std::uint64_t>(layer) * 2 + static_cast<std::uint64_t>(site);
  return random_bits(of_sample, of_layer, static_cast<std::uint64_t>(head));
}

/// Elements fall whose 16 bits are below this; the kept ones are divided by `kept_share`, so that the mean
/// stays exact although the probability is rounded to 1/65536.
inline std::uint32_t dropout_threshold(double probability) {
  return static_cast<std::uint32_t>(std::lround(probability * 65536));
}
inline double kept_share(double probability) { return 1 - dropout_threshold(probability) / 65536.0; }

/// Whether one element falls; the definition that `dropout_row` computes by vectors.
constexpr bool drops(std::uint64_t stream, std::int64_t row, std::int64_t element, std::uint32_t threshold) {
  const auto r = static_cast<std::uint64_t>(row);
  const auto e = static_cast<std::uint64_t>(element);
  const std::uint64_t c = e / 128 * 16 + e % 16;
  const auto part = static_cast<std::uint32_t>(e % 128 / 16);
  const Counter bits = philox({static_cast<std::uint32_t>(c), static_cast<std::uint32_t>(c >> 32),
                               static_cast<std::uint32_t>(r), static_cast<std::uint32_t>(r >> 32)},
                              stream);
  return (bits[part / 2] >> (16 * (part % 2)) & 0xFFFFu) < threshold;
}

/// factors[i] = 0 where element first + i of `row` falls, else `kept` (usually 1 / kept_share). `factors`
/// needs room for `count` + 256 values, as whole groups are written; returns where in it the factor of
/// element `first` stands.
float* dropout_row(std::uint64_t stream, std::int64_t row, std::int64_t first, std::int64_t count,
                   std::uint32_t threshold, float kept, float* factors);

}  // namespace ecp::kernels
