#include "ecp/train/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

namespace ecp {
namespace {

TrainConfig config(const std::string& schedule, std::int64_t steps, std::int64_t warmup) {
  TrainConfig train;
  train.schedule = schedule;
  train.steps = steps;
  train.warmup = warmup;
  train.lr = 2;
  train.final_lr = 0.1;
  return train;
}

double at_step(const TrainConfig& train, std::int64_t step) {
  return learning_rate(train, position_by_steps(train, step));
}

TEST(Schedule, WarmsUpLinearlyToThePeak) {
  for (const char* schedule : {"constant", "cosine", "wsd", "halving"}) {
    const TrainConfig train = config(schedule, 100, 10);
    EXPECT_DOUBLE_EQ(at_step(train, 0), 0.2) << schedule;
    EXPECT_DOUBLE_EQ(at_step(train, 4), 1.0) << schedule;
    EXPECT_DOUBLE_EQ(at_step(train, 9), 2.0) << schedule;
    EXPECT_DOUBLE_EQ(at_step(train, 10), 2.0) << schedule;
  }
}

TEST(Schedule, StartsAtThePeakWithoutWarmup) {
  for (const char* schedule : {"constant", "cosine", "wsd", "halving"}) {
    EXPECT_DOUBLE_EQ(at_step(config(schedule, 100, 0), 0), 2.0) << schedule;
  }
}

TEST(Schedule, CosineFallsFromTheEndOfWarmupToItsEnd) {
  const TrainConfig train = config("cosine", 110, 10);
  EXPECT_NEAR(at_step(train, 60), 2 * 0.55, 1e-12);
  EXPECT_NEAR(at_step(train, 35), 2 * (0.1 + 0.9 * 0.5 * (1 + std::sqrt(0.5))), 1e-12);
  EXPECT_DOUBLE_EQ(at_step(train, 110), 0.2);
  EXPECT_DOUBLE_EQ(at_step(train, 1000), 0.2) << "beyond the end";
  for (std::int64_t step = 10; step < 110; ++step) EXPECT_GT(at_step(train, step), at_step(train, step + 1));
}

TEST(Schedule, WsdFallsLinearlyInItsLastPart) {
  TrainConfig train = config("wsd", 100, 10);
  train.decay_fraction = 0.2;
  EXPECT_DOUBLE_EQ(at_step(train, 50), 2.0);
  EXPECT_DOUBLE_EQ(at_step(train, 80), 2.0);
  EXPECT_NEAR(at_step(train, 90), 2 * 0.55, 1e-12);
  EXPECT_NEAR(at_step(train, 100), 0.2, 1e-12);
  train.decay_fraction = 0;
  EXPECT_DOUBLE_EQ(at_step(train, 99), 2.0);
}

TEST(Schedule, HalvingHalvesEverySoManySteps) {
  TrainConfig train = config("halving", 1000, 0);
  train.halve_every = 100;
  EXPECT_DOUBLE_EQ(at_step(train, 99), 2.0);
  EXPECT_DOUBLE_EQ(at_step(train, 100), 1.0);
  EXPECT_DOUBLE_EQ(at_step(train, 350), 0.25);
  train.halve_every = 1;
  EXPECT_GE(at_step(train, std::int64_t{1} << 40), 0.0) << "no overflow";
}

TEST(Schedule, WarmupLongerThanTheRunNeverReachesThePeak) {
  for (const char* schedule : {"constant", "cosine", "wsd", "halving"}) {
    const TrainConfig train = config(schedule, 10, 40);
    for (std::int64_t step = 0; step < 10; ++step) {
      EXPECT_LE(at_step(train, step), 2 * static_cast<double>(step + 1) / 40 + 1e-12) << schedule;
      EXPECT_GT(at_step(train, step), 0) << schedule;
    }
  }
}

TEST(Schedule, FollowsTheClockWithWarmupInSteps) {
  TrainConfig train = config("cosine", 1, 10);
  train.minutes = 5;
  EXPECT_DOUBLE_EQ(learning_rate(train, {4, 0.02, 0}), 1.0);
  EXPECT_DOUBLE_EQ(learning_rate(train, {10, 0.2, 0.2}), 2.0);
  EXPECT_NEAR(learning_rate(train, {500, 0.6, 0.2}), 2 * 0.55, 1e-12);
  EXPECT_DOUBLE_EQ(learning_rate(train, {900, 1.0, 0.2}), 0.2);
  EXPECT_DOUBLE_EQ(learning_rate(train, {900, 1.0, 1.0}), 0.2) << "a run whose clock ended with warm-up";
}

}  // namespace
}  // namespace ecp
