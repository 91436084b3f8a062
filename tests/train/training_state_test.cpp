#include "ecp/train/training_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/errors.h"

namespace ecp {
namespace {

using test::error_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TrainingState sample() {
  TrainingState state;
  state.step = 12;
  state.skipped = 3;
  state.skipped_in_row = 1;
  state.pending = {false, true};
  state.tokens = 1ULL << 40;
  state.seconds = 0.1 + 0.2;
  state.warmup_done = 1.0 / 3;
  state.best = {8, 2.5};
  state.since_line = {7.0 / 9, 2, 1e-3};
  state.sources = {{"aa", {1, 2, 3}}, {"bb", {0, 5, 5}}};
  state.build = {"0.1", "abc", "avx2", 2};
  return state;
}

TEST(TrainingState, ComesBackBitForBit) {
  const TrainingState state = sample();
  const TrainingState back = parse_training_state(to_json(state), "state.json");
  EXPECT_EQ(to_json(back), to_json(state));
  EXPECT_EQ(back.seconds, state.seconds);
  EXPECT_EQ(back.since_line.loss, state.since_line.loss);
  EXPECT_EQ(back.sources[1].position, state.sources[1].position);
  EXPECT_EQ(back.best->step, 8);
  TrainingState without = state;
  without.best.reset();
  EXPECT_FALSE(parse_training_state(to_json(without), "state.json").best.has_value());
}

TEST(TrainingState, EveryMemberIsNeededAndChecked) {
  const auto json = nlohmann::json::parse(to_json(sample()));
  for (const auto& [key, value] : json.items()) {
    auto without = json;
    without.erase(key);
    EXPECT_THAT(error_of([&] { parse_training_state(without.dump(), "state.json"); }),
                HasSubstr("state.json: expected"))
        << key;
    auto wrong = json;
    wrong[key] = "text";
    EXPECT_THAT(error_of([&] { parse_training_state(wrong.dump(), "state.json"); }), HasSubstr("state.json"))
        << key;
  }
  auto negative = json;
  negative["step"] = -1;
  EXPECT_EQ(error_of([&] { parse_training_state(negative.dump(), "state.json"); }),
            "state.json: step: expected a whole number, at least 0");
  auto uneven = json;
  uneven["skipped"] = 13;
  EXPECT_EQ(error_of([&] { parse_training_state(uneven.dump(), "state.json"); }),
            "state.json: expected skipped_in_row 1 <= skipped 13 <= step 12");
  EXPECT_THAT(error_of([&] { parse_training_state("{", "state.json"); }),
              HasSubstr("expected the training state"));
}

TEST(Build, NamesWhatDiffers) {
  const Build build{"0.1", "abc", "avx2", 2};
  EXPECT_THAT(build.differences(build), IsEmpty());
  EXPECT_THAT(build.differences({"0.1", "abd", "avx2", 4}),
              ElementsAre("program commit: abc before, abd now", "threads: 2 before, 4 now"));
}

}  // namespace
}  // namespace ecp
