#include "ecp/base/block_arena.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <random>
#include <vector>

#include "ecp/base/system.h"

namespace ecp {
namespace {

constexpr std::size_t mebibyte = std::size_t{1} << 20;

TEST(BlockArena, BlocksAreApartWhateverTheOrder) {
  BlockArena arena;
  std::mt19937 draw(7);
  std::map<unsigned char*, std::size_t> blocks;
  std::size_t sum = 0;
  for (int step = 0; step < 3000; ++step) {
    if (blocks.size() < 20 && draw() % 2 == 0) {
      const std::size_t size = 1 + draw() % 100000;
      auto* block = static_cast<unsigned char*>(arena.allocate(size));
      ASSERT_NE(block, nullptr);
      ASSERT_EQ(reinterpret_cast<std::uintptr_t>(block) % 4096, 0u);
      std::memset(block, static_cast<int>(size % 251), size);
      blocks.emplace(block, size);
    } else if (!blocks.empty()) {
      const auto one = std::next(blocks.begin(), static_cast<std::ptrdiff_t>(draw() % blocks.size()));
      for (std::size_t i = 0; i < one->second; ++i) ASSERT_EQ(one->first[i], one->second % 251);
      ASSERT_TRUE(arena.free(one->first));
      blocks.erase(one);
    }
    sum = 0;
    for (const auto& [at, size] : blocks) sum += (size + 4095) / 4096 * 4096;
    ASSERT_EQ(arena.used(), sum);
  }
}

TEST(BlockArena, FreedNeighboursMakeRoomForALargerBlock) {
  BlockArena arena;
  std::vector<void*> blocks;
  for (int i = 0; i < 8; ++i) blocks.push_back(arena.allocate(mebibyte));
  void* const behind = arena.allocate(mebibyte);
  for (const std::size_t i : {1, 3, 5, 7, 0, 2, 6, 4}) ASSERT_TRUE(arena.free(blocks[i]));
  EXPECT_EQ(arena.allocate(8 * mebibyte), blocks[0]);
  EXPECT_TRUE(arena.free(behind));
}

TEST(BlockArena, AFreedBlocksMemoryServesAgain) {
  BlockArena arena;
  constexpr std::size_t size = 64 * mebibyte;
  for (int i = 0; i < 40; ++i) {
    void* const block = arena.allocate(size);
    ASSERT_NE(block, nullptr);
    std::memset(block, i, size);
    ASSERT_TRUE(arena.free(block));
  }
  EXPECT_LT(resident_memory(), 20 * size);
}

TEST(BlockArena, RefusesWhatIsNotItsOwnOrCannotBe) {
  BlockArena arena;
  int other = 0;
  EXPECT_FALSE(arena.free(&other));
  void* const block = arena.allocate(mebibyte);
  EXPECT_FALSE(arena.free(static_cast<char*>(block) + 4096));
  EXPECT_TRUE(arena.free(block));
  EXPECT_FALSE(arena.free(block));
  EXPECT_EQ(arena.allocate(std::numeric_limits<std::size_t>::max()), nullptr);
  EXPECT_EQ(arena.allocate(std::numeric_limits<std::size_t>::max() / 4), nullptr);
  EXPECT_EQ(arena.used(), 0u);
}

}  // namespace
}  // namespace ecp
