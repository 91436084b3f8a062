// The table of how far rows look back, against the intervals composed row by row.
#include "ecp/config/stream_reach.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "ecp/config/attention_plan.h"
#include "tests/support/errors.h"

namespace ecp {
namespace {

using test::error_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

ModelConfig config_of(const std::string& architecture, std::int64_t size) {
  ModelConfig config;
  config.architecture = architecture;
  apply_preset(config);
  config.sequence = 96;
  config.dim = 16;
  config.heads = 4;
  config.layers = 3;
  config.block = config.group = config.window = size;
  return config;
}

std::vector<ModelConfig> bounded() {
  std::vector<ModelConfig> all;
  for (const std::int64_t size : {1, 2, 5, 8, 31}) {
    for (const char* architecture : {"ecp", "sliding", "shifted"}) {
      if (architecture == std::string("shifted") && size % 2 == 1) continue;
      all.push_back(config_of(architecture, size));
    }
    all.push_back(config_of("ecp", size));
    all.back().lookback = 3;
    if (size % 2 == 0) all.back().shift_heads = true;
  }
  return all;
}

std::string name_of(const ModelConfig& config) {
  return config.architecture + " " + std::to_string(config.block) + " " + std::to_string(config.lookback);
}

TEST(StreamReachTest, IsTheComposedIntervals) {
  for (const ModelConfig& config : bounded()) {
    SCOPED_TRACE(name_of(config));
    const StreamReach reach = stream_reach(config);
    for (std::int64_t row = 0; row < 700; ++row) {
      std::int64_t first = row;
      ASSERT_EQ(reach.first(row, 0), row);
      for (std::int64_t layers = 1; layers <= config.layers; ++layers) {
        std::int64_t seen = first;
        for (const HeadGroup& group : head_groups(config)) seen = std::min(seen, group.pattern.at(first).lo);
        first = seen;
        ASSERT_EQ(reach.first(row, layers), first) << row << ", " << layers;
      }
      if (row < config.sequence) {
        ASSERT_EQ(reach.first(row, config.layers), ecp::reach(config, row)) << row;
      }
    }
  }
}

TEST(StreamReachTest, IsAsShortAsThePatternRepeatsItself) {
  const StreamReach ecp = stream_reach(config_of("ecp", 8));
  EXPECT_EQ(ecp.period, 8);
  ASSERT_EQ(ecp.tiles.size(), 1U);
  EXPECT_THAT(ecp.tiles[0].first, ElementsAre(-8, -16, -24));
  EXPECT_EQ(stream_reach(config_of("sliding", 8)).period, 1);
  const StreamReach shifted =
      stream_reach(config_of("shifted", 8));  // groups, and groups moved by half of one
  ASSERT_EQ(shifted.tiles.size(), 2U);
  EXPECT_EQ(shifted.tiles[1].begin, 4);
}

TEST(StreamReachTest, OfWhatIsntAStream) {
  const StreamReach full = stream_reach(config_of("full", 8));
  EXPECT_EQ(full.period, 0);
  EXPECT_EQ(full.first(1000000, 1), 0);
  EXPECT_EQ(full.first(1000000, 0), 1000000);
  EXPECT_THAT(error_of([&] { (void)full.first(5, 4); }), HasSubstr("0 to 3 layers"));
  EXPECT_THAT(error_of([] { (void)stream_reach(config_of("double", 8)); }), HasSubstr("without latents"));
  ModelConfig both_ways = config_of("ecp", 8);
  both_ways.causal = false;
  EXPECT_THAT(error_of([&] { (void)stream_reach(both_ways); }), HasSubstr("see none after them"));
}

}  // namespace
}  // namespace ecp
