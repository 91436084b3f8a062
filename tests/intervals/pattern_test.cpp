// Every closed form against its definition, by brute force.
#include "ecp/intervals/pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "tests/support/errors.h"

namespace ecp {
namespace {

using test::error_of;
using ::testing::HasSubstr;

struct Case {
  Pattern pattern;
  std::string name;
};

std::vector<Case> cases() {
  std::vector<Case> all{{Pattern::full(), "full"}, {Pattern::all(), "all"}};
  const auto named = [&](const Pattern& pattern) {
    std::string name(pattern.kind_name());
    for (const std::int64_t parameter : pattern.parameters()) name += " " + std::to_string(parameter);
    all.push_back({pattern, name});
  };
  for (const std::int64_t block : {1, 2, 3, 4, 5, 7, 8, 16, 31, 64, 100}) {
    named(Pattern::sliding(block));
    named(Pattern::segments(block));
    named(Pattern::group(block));
    if (block > 1) named(Pattern::group(block, block / 2));
    for (const std::int64_t lookback : {1, 2, 3, 5}) {
      named(Pattern::ecp(block, lookback));
      named(Pattern::neighbours(block, lookback));
      if (block > 1) named(Pattern::ecp(block, lookback, block / 2));
      if (block > 3) named(Pattern::ecp(block, lookback, 1));
    }
  }
  return all;
}

/// The architectures' definitions, key by key, in the words of the model's description.
bool sees(const Pattern& pattern, std::int64_t query, std::int64_t key) {
  const auto block_of = [&](std::int64_t row) { return (row + pattern.shift()) / pattern.block(); };
  switch (pattern.kind()) {
    case PatternKind::full:
      return key <= query;
    case PatternKind::all:
      return true;
    case PatternKind::sliding:  // itself and the w − 1 before it
      return key <= query && query - key < pattern.parameters()[0];
    case PatternKind::segments:
      return block_of(key) == block_of(query);
    case PatternKind::group:
      return block_of(key) == block_of(query) && key <= query;
    case PatternKind::neighbours:
      return std::abs(block_of(query) - block_of(key)) <= pattern.lookback();
    case PatternKind::ecp:
      break;
  }
  if (block_of(key) == block_of(query)) return key <= query;  // causal in its own block
  return block_of(key) < block_of(query) &&
         block_of(query) - block_of(key) <= pattern.lookback();  // all of the blocks before
}

TEST(Pattern, IntervalsAreTheDefinition) {
  constexpr std::int64_t rows = 70;
  for (const auto& [pattern, name] : cases()) {
    for (std::int64_t row = 0; row < rows; ++row) {
      const Interval interval = pattern.at(row);
      ASSERT_EQ(pattern.at(row, rows), (Interval{interval.lo, std::min(interval.hi, rows)})) << name;
      for (std::int64_t key = 0; key < rows; ++key) {
        ASSERT_EQ(interval.lo <= key && key < interval.hi, sees(pattern, row, key))
            << name << " row " << row << " key " << key;
      }
    }
  }
}

TEST(Pattern, BoundsNeverFall) {
  for (const auto& [pattern, name] : cases()) {
    Interval last = pattern.at(0);
    for (std::int64_t row = 1; row < 400; ++row) {
      const Interval interval = pattern.at(row);
      ASSERT_GE(interval.lo, last.lo) << name << " row " << row;
      ASSERT_GE(interval.hi, last.hi) << name << " row " << row;
      ASSERT_LE(interval.lo, row) << name << ": a row sees itself";
      if (pattern.causal()) {
        ASSERT_EQ(interval.hi, row + 1) << name << ": nothing sees the future";
      }
      ASSERT_GT(interval.hi, row) << name;
      last = interval;
    }
  }
}

TEST(Pattern, TilesShareTheirFirstKey) {
  for (const auto& [pattern, name] : cases()) {
    for (std::int64_t row = 0; row < 300; ++row) {
      const std::int64_t end = pattern.tile_end(row);
      ASSERT_GT(end, row) << name;
      const std::int64_t begin = pattern.tile_begin(row);
      ASSERT_LE(begin, row) << name;
      ASSERT_EQ(pattern.at(begin).lo, pattern.at(row).lo) << name << " row " << row;
      if (begin > 0) {
        ASSERT_EQ(pattern.tile_end(begin - 1), begin) << name << " row " << row;
      }
      for (std::int64_t other = row; other < std::min<std::int64_t>(end, row + 300); ++other) {
        ASSERT_EQ(pattern.at(other).lo, pattern.at(row).lo) << name << " rows " << row << ", " << other;
      }
    }
  }
}

TEST(Pattern, VisibleEntriesAreTheSum) {
  for (const auto& [pattern, name] : cases()) {
    EXPECT_EQ(pattern.entries(0).visible, 0);
    for (std::int64_t rows = 1; rows <= 150; ++rows) {
      std::int64_t visible = 0;
      for (std::int64_t row = 0; row < rows; ++row) visible += pattern.at(row, rows).size();
      ASSERT_EQ(pattern.entries(rows).visible, visible) << name << " rows " << rows;
    }
  }
}

/// What an implementation with masks computes: for each block of queries, all keys of the blocks that it
/// sees; for groups and windows, rows that are all as long.
std::int64_t dense_entries(const Pattern& pattern, std::int64_t rows) {
  if (!pattern.bounded()) return rows * rows;
  if (pattern.kind() == PatternKind::group || pattern.kind() == PatternKind::sliding)
    return rows * std::min(rows, pattern.parameters()[0]);
  std::int64_t sum = 0;
  for (std::int64_t begin = 0; begin < rows; begin = pattern.tile_end(begin)) {
    const std::int64_t end = std::min(rows, pattern.tile_end(begin));
    std::set<std::int64_t> keys;
    for (std::int64_t row = begin; row < end; ++row) {
      for (std::int64_t key = 0; key < rows; ++key) {
        if (sees(pattern, row, key)) keys.insert(key);
      }
    }
    sum += (end - begin) * static_cast<std::int64_t>(keys.size());
  }
  return sum;
}

TEST(Pattern, DenseEntriesAreTheRectangles) {
  for (const auto& [pattern, name] : cases()) {
    EXPECT_EQ(pattern.entries(0).dense, 0);
    for (const std::int64_t rows : {1, 2, 3, 7, 8, 9, 31, 32, 33, 63, 64, 65, 70, 101}) {
      ASSERT_EQ(pattern.entries(rows).dense, dense_entries(pattern, rows)) << name << " rows " << rows;
    }
  }
}

TEST(Pattern, DenseEntriesFollowThePapersFormula) {
  // b² + (n/b − 1)·2b² for n a multiple of b and a lookback of one block.
  const std::int64_t n = 4096, b = 256;
  EXPECT_EQ(Pattern::ecp(b).entries(n).dense, b * b + (n / b - 1) * 2 * b * b);
  EXPECT_EQ(Pattern::full().entries(n).dense, n * n);
}

TEST(Pattern, HaloIsTheLargestDistance) {
  EXPECT_EQ(Pattern::full().halo(), -1);
  for (const auto& [pattern, name] : cases()) {
    if (!pattern.bounded()) {
      EXPECT_EQ(pattern.halo(), -1) << name;
      continue;
    }
    std::int64_t largest = 0;
    for (std::int64_t row = 0; row < (pattern.lookback() + 3) * pattern.block(); ++row) {
      largest = std::max(largest, row - pattern.at(row).lo);
    }
    EXPECT_EQ(pattern.halo(), largest) << name;
  }
}

TEST(Pattern, ReachIsTheComposition) {
  constexpr std::int64_t rows = 70, layers = 8;
  for (const auto& [pattern, name] : cases()) {
    // first[row]: the earliest input row that row depends on after so many layers.
    std::vector<std::int64_t> first(rows);
    for (std::int64_t row = 0; row < rows; ++row) first[static_cast<std::size_t>(row)] = row;
    for (std::int64_t layer = 0; layer <= layers; ++layer) {
      for (std::int64_t row = 0; row < rows; ++row) {
        ASSERT_EQ(pattern.reach(row, layer), first[static_cast<std::size_t>(row)])
            << name << " row " << row << " layers " << layer;
      }
      std::vector<std::int64_t> next(rows);
      for (std::int64_t row = 0; row < rows; ++row) {
        const Interval interval = pattern.at(row, rows);
        next[static_cast<std::size_t>(row)] =
            *std::min_element(first.begin() + interval.lo, first.begin() + interval.hi);
      }
      first = next;
    }
  }
}

TEST(Pattern, LongStreamsAreExact) {
  // Rows far beyond 32 bits, as an endless stream reaches them.
  EXPECT_TRUE(rc::check("at, tile_end and reach agree far out", [] {
    const auto block = *rc::gen::inRange<std::int64_t>(1, 5000);
    const auto lookback = *rc::gen::inRange<std::int64_t>(1, 9);
    const auto row = *rc::gen::inRange<std::int64_t>(0, std::int64_t{1} << 50);
    const auto layers = *rc::gen::inRange<std::int64_t>(1, 40);
    const auto shift = *rc::gen::inRange<std::int64_t>(0, block);
    const Pattern pattern = Pattern::ecp(block, lookback, shift);
    std::int64_t composed = row;
    for (std::int64_t layer = 0; layer < layers; ++layer) composed = pattern.at(composed).lo;
    RC_ASSERT(pattern.reach(row, layers) == composed);
    RC_ASSERT(row - pattern.at(row).lo <= pattern.halo());
    RC_ASSERT(pattern.at(pattern.tile_end(row) - 1).lo == pattern.at(row).lo);
  }));
}

TEST(Pattern, SpellingsAreParsed) {
  const std::vector<std::int64_t> two{128, 3};
  EXPECT_EQ(Pattern::parse("full", {}), Pattern::full());
  EXPECT_EQ(Pattern::parse("ecp", two), Pattern::ecp(128, 3));
  const std::vector<std::int64_t> three{128, 3, 64};
  EXPECT_EQ(Pattern::parse("ecp", three), Pattern::ecp(128, 3, 64));
  EXPECT_EQ(Pattern::parse("group", two), Pattern::group(128, 3));
  EXPECT_EQ(Pattern::parse("neighbours", two), Pattern::neighbours(128, 3));
  EXPECT_EQ(Pattern::parse("sliding", std::span(two).first(1)), Pattern::sliding(128));
  EXPECT_EQ(Pattern::parse("segments", std::span(two).first(1)), Pattern::segments(128));
  EXPECT_EQ(Pattern::parse("all", {}), Pattern::all());
  EXPECT_EQ(Pattern::full().kind_name(), "full");
  EXPECT_EQ(Pattern::ecp(4).kind_name(), "ecp");
  EXPECT_NE(Pattern::ecp(4, 1), Pattern::ecp(4, 2));
}

TEST(Pattern, SpellingsAreWrittenAsTheyAreParsed) {
  for (const auto& [pattern, name] : cases()) {
    EXPECT_EQ(Pattern::parse(pattern.kind_name(), pattern.parameters()), pattern) << name;
  }
}

TEST(Pattern, BadParametersSaySo) {
  const auto parse = [](std::string_view kind, std::vector<std::int64_t> parameters) {
    return error_of([&] { Pattern::parse(kind, parameters); });
  };
  EXPECT_EQ(parse("ecp", {0, 1}), "pattern ecp: expected block >= 1, got 0");
  EXPECT_EQ(parse("ecp", {-4, 1}), "pattern ecp: expected block >= 1, got -4");
  EXPECT_EQ(parse("ecp", {4, 0}), "pattern ecp: expected lookback >= 1, got 0");
  EXPECT_EQ(parse("ecp", {4}), "pattern ecp: expected 2 integers (block, lookback) or 3 (shift), got 1");
  EXPECT_EQ(parse("ecp", {4, 1, 4}), "pattern ecp: expected shift from 0 to 3, got 4");
  EXPECT_EQ(parse("sliding", {0}), "pattern sliding: expected window >= 1, got 0");
  EXPECT_EQ(parse("sliding", {}), "pattern sliding: expected 1 integers (window), got 0");
  EXPECT_EQ(parse("segments", {-1}), "pattern segments: expected block >= 1, got -1");
  EXPECT_EQ(parse("group", {8}), "pattern group: expected 2 integers (size, shift), got 1");
  EXPECT_EQ(parse("neighbours", {8, 0}), "pattern neighbours: expected lookback >= 1, got 0");
  EXPECT_EQ(parse("full", {4}), "pattern full: expected 0 integers, got 1");
  EXPECT_EQ(parse("fool", {}),
            "pattern: expected full, ecp, group, sliding, all, segments or neighbours, got 'fool'");
  EXPECT_THAT(parse("ecp", {INT64_MAX / 2, 3}), HasSubstr("is too large"));
}

}  // namespace
}  // namespace ecp
