#include "ecp/base/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

namespace ecp {
namespace {

// The known answers that the generator's authors publish (Random123, kat_vectors, philox4x32 with 10 rounds).
TEST(Random, PhiloxKnownAnswers) {
  EXPECT_EQ(philox({0, 0, 0, 0}, 0), (Counter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, 0xffffffffffffffff),
            (Counter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822),
            (Counter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Random, IsAPureFunctionThatUsesAllOfItsArguments) {
  static_assert(random_bits(1, 2, 3) == random_bits(1, 2, 3));
  std::set<std::uint64_t> seen;
  const std::vector<std::uint64_t> values{0,         1, 2, std::uint64_t{1} << 32, std::uint64_t{1} << 63,
                                          UINT64_MAX};
  for (const auto key : values) {
    for (const auto a : values) {
      for (const auto b : values) seen.insert(random_bits(key, a, b));
    }
  }
  EXPECT_EQ(seen.size(), values.size() * values.size() * values.size());
}

TEST(Random, UniformFillsTheUnitInterval) {
  constexpr int count = 200000;
  double sum = 0, squares = 0;
  std::vector<int> cells(20);
  for (int i = 0; i < count; ++i) {
    const double u = random_uniform(7, static_cast<std::uint64_t>(i));
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    sum += u;
    squares += u * u;
    ++cells[static_cast<std::size_t>(u * 20)];
  }
  // Bounds are five standard deviations.
  EXPECT_NEAR(sum / count, 0.5, 5 * std::sqrt(1.0 / 12 / count));
  EXPECT_NEAR(squares / count, 1.0 / 3, 5 * std::sqrt(4.0 / 45 / count));
  for (const int cell : cells) EXPECT_NEAR(cell, count / 20, 5 * std::sqrt(count * 0.05 * 0.95));
}

TEST(Random, BelowCoversItsRangeEvenly) {
  EXPECT_EQ(random_below(1, 5, 9), 0u);
  for (const std::uint64_t bound : {2u, 3u, 10u, 17u}) {
    constexpr int count = 60000;
    std::vector<int> seen(bound);
    for (std::uint64_t i = 0; i < count; ++i) ++seen.at(random_below(bound, 11, i));
    const double p = 1.0 / static_cast<double>(bound);
    for (const int times : seen) EXPECT_NEAR(times, count * p, 5 * std::sqrt(count * p * (1 - p)));
  }
  const std::uint64_t large = (std::uint64_t{1} << 63) + 5;
  for (std::uint64_t i = 0; i < 1000; ++i) EXPECT_LT(random_below(large, 3, i), large);
}

}  // namespace
}  // namespace ecp
