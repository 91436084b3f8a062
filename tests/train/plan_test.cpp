#include "ecp/train/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ecp {
namespace {

Config wide() {
  Config config;
  config.model.vocab = 256;
  config.model.dim = 256;
  config.model.heads = 4;
  config.model.layers = 12;
  config.model.sequence = 1024;
  config.train.batch = 12;
  config.train.accumulation = 3;
  return config;
}

const PlanRow* best(const TrainingPlan& plan) {
  return plan.best < 0 ? nullptr : &plan.rows.at(static_cast<std::size_t>(plan.best));
}

TEST(Plan, HalvesBatchesAndKeepsTheirProduct) {
  const TrainingPlan plan = plan_training(wide(), 0, 1e11);
  ASSERT_EQ(plan.rows.size(), 6u);  // 12, 6, 3
  for (std::size_t i = 0; i < plan.rows.size(); ++i) {
    const PlanRow& row = plan.rows[i];
    EXPECT_EQ(row.batch * row.accumulation, 36);
    EXPECT_EQ(row.recompute, i % 2 == 1);
    EXPECT_TRUE(row.fits);
    if (row.recompute) {
      EXPECT_LT(row.memory.total(), plan.rows[i - 1].memory.total());
      EXPECT_LT(row.tokens_per_second, plan.rows[i - 1].tokens_per_second);
    }
    if (i > 1) {
      EXPECT_LT(row.memory.total(), plan.rows[i - 2].memory.total());
    }
  }
  EXPECT_EQ(plan.best, 0);
}

TEST(Plan, SuggestsTheFastestThatFits) {
  const Config config = wide();
  const TrainingPlan all = plan_training(config, 0, 1e11);
  const auto limit = [&](std::size_t row) { return all.rows[row].memory.total() * 1.001; };
  const TrainingPlan half = plan_training(config, limit(2), 1e11);
  ASSERT_NE(best(half), nullptr);
  EXPECT_EQ(best(half)->batch, 6);
  EXPECT_FALSE(best(half)->recompute) << "a smaller micro-batch costs less than computing again";
  EXPECT_EQ(plan_training(config, 1e6, 1e11).best, -1);
  Config one = config;
  one.train.batch = 1;
  const TrainingPlan single = plan_training(one, training_memory(one, true).total() * 1.001, 1e11);
  ASSERT_NE(best(single), nullptr);
  EXPECT_TRUE(best(single)->recompute);
  const Config chosen = planned(one, *best(single));
  EXPECT_EQ(chosen.train.activation_checkpointing, "on");
  EXPECT_EQ(chosen.train.batch, 1);
}

TEST(Plan, LeavesOutWhatTheConfigurationRulesOut) {
  Config config = wide();
  config.train.activation_checkpointing = "off";
  for (const PlanRow& row : plan_training(config, 0, 1e11).rows) EXPECT_FALSE(row.recompute);
  config.train.activation_checkpointing = "on";
  for (const PlanRow& row : plan_training(config, 0, 1e11).rows) EXPECT_TRUE(row.recompute);
}

}  // namespace
}  // namespace ecp
