#include "ecp/base/system.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace ecp {
namespace {

TEST(System, CpusAreAtLeastOne) {
  EXPECT_GE(available_cpus(), 1);
  EXPECT_FALSE(cpu_name().empty());
  EXPECT_THAT(cpu_features(),
              ::testing::Each(::testing::AnyOf("avx2", "avx512", "avx512_vnni", "avx512_bf16", "amx_bf16")));
}

TEST(System, MemoryGrowsWithUse) {
  constexpr std::size_t size = std::size_t{64} << 20;
  const std::uint64_t before = resident_memory();
  ASSERT_GT(before, 0u);
  const std::vector<char> block(size, 1);
  EXPECT_EQ(block[size / 2], 1);
  EXPECT_GE(resident_memory(), before + size / 2);
  EXPECT_GE(peak_memory(), before + size / 2);
}

}  // namespace
}  // namespace ecp
