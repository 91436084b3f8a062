#include "ecp/train/memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ecp/base/system.h"
#include "tests/support/errors.h"

namespace ecp {
namespace {

using testing::HasSubstr;

Config of_size(std::int64_t dim, std::int64_t batch) {
  Config config;
  config.model.vocab = 256;
  config.model.dim = dim;
  config.model.heads = 4;
  config.model.layers = 2;
  config.model.sequence = 64;
  config.train.batch = batch;
  return config;
}

TEST(Memory, CountsWeightsAndWhatABatchKeeps) {
  const double one = least_training_memory(of_size(64, 1)), two = least_training_memory(of_size(64, 2));
  EXPECT_GT(two, one);
  Config narrow = of_size(64, 2);
  narrow.train.dtype = "bfloat16";
  EXPECT_LT(least_training_memory(narrow), two);
  // Weights of about 12 d² a layer, 16 bytes each.
  const double large = least_training_memory(of_size(4096, 1));
  EXPECT_GT(large, 16.0 * 2 * 11 * 4096 * 4096);
  EXPECT_LT(large, 16.0 * 2 * 14 * 4096 * 4096);
}

TEST(Memory, ActivationCheckpointingIsChosenWhereMemoryIsShort) {
  Config config = of_size(256, 64);
  config.model.layers = 12;
  config.model.sequence = 1024;
  const double with = training_memory(config, true).total(), without = training_memory(config, false).total();
  ASSERT_LT(with, 0.5 * without);
  const auto choice = [&](const std::string& wanted, double limit) {
    config.train.activation_checkpointing = wanted;
    config.train.memory_limit = limit * 1e-9;
    return choose_recompute(config);
  };
  EXPECT_FALSE(choice("auto", 1.01 * without));
  EXPECT_TRUE(choice("auto", 0.99 * without));
  EXPECT_TRUE(choice("auto", 1.01 * with));
  EXPECT_FALSE(choice("off", 1.01 * without));
  EXPECT_TRUE(choice("on", 1.01 * without));
  EXPECT_THAT(test::error_of([&] { choice("auto", 0.99 * with); }),
              HasSubstr("with activation checkpointing, train.memory_limit is"));
  EXPECT_THAT(test::error_of([&] { choice("off", 0.99 * without); }), HasSubstr("train.memory_limit is"));
}

TEST(Memory, RefusesWhatCannotFit) {
  ASSERT_GT(free_memory(), 0);
  EXPECT_FALSE(choose_recompute(of_size(64, 1)));
  EXPECT_THAT(test::error_of([] { choose_recompute(of_size(1 << 20, 1)); }), HasSubstr("GB are free"));
  EXPECT_THAT(test::error_of([] { choose_recompute(of_size(64, std::int64_t{1} << 30)); }),
              HasSubstr("train.batch"));
}

}  // namespace
}  // namespace ecp
