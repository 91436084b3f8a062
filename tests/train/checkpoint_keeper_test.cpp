#include "ecp/train/checkpoint_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "ecp/model/language_model.h"
#include "ecp/train/trainer.h"
#include "tests/train/training.h"

namespace ecp {
namespace {

using test::error_of;
using test::Training;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// A model with an optimizer, and a run folder for them.
struct Kept {
  Training training;
  RunFolder folder{training.run()};
  LanguageModel model{model_config(training.config)};
  AdamW optimizer{training.config.train, entries(model)};
  TrainingState state;

  Kept() {
    folder.create();
    model.initialize(1);
    state.step = 5;
    state.sources = {{"aa", {}}};
  }

  static ModelConfig model_config(const Config& config) {
    ModelConfig model = config.model;
    model.vocab = 256;
    return model;
  }
  static std::vector<AdamW::Entry> entries(const LanguageModel& model) {
    std::vector<AdamW::Entry> all;
    for (const auto& parameter : model.named_parameters())
      all.push_back({parameter.key(), parameter.value(), false});
    return all;
  }
  bool save(const CheckpointKeeper& keeper, const std::function<void()>& before) {
    return keeper.save(before, model, optimizer, {}, state, 2);
  }
};

TEST(CheckpointKeeper, WaitsForSpace) {
  Kept kept;
  int tries = 0;
  std::vector<std::uint64_t> needed;
  const CheckpointKeeper keeper(kept.folder, {{},
                                              [&](const SpaceWanted& wanted) {
                                                EXPECT_EQ(wanted.step, 5);
                                                EXPECT_EQ(wanted.reason,
                                                          "cannot write 'x': No space left on device");
                                                EXPECT_GT(wanted.available, 0U);
                                                needed.push_back(wanted.needed);
                                              },
                                              {}});
  EXPECT_TRUE(kept.save(keeper, [&] {
    if (++tries < 3) throw NoSpace("cannot write 'x': No space left on device");
  }));
  EXPECT_EQ(tries, 3);
  ASSERT_EQ(needed.size(), 2U);
  std::uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kept.folder.checkpoint(5))) {
    if (entry.is_regular_file()) bytes += entry.file_size();
  }
  EXPECT_GE(needed[0], bytes);
  EXPECT_THAT(kept.folder.steps(), ElementsAre(5));
  EXPECT_EQ(keeper.load_newest(kept.model, kept.optimizer)->step, 5);
}

TEST(CheckpointKeeper, GivesUpWhenAskedTo) {
  Kept kept;
  bool stop = false;
  const CheckpointKeeper keeper(kept.folder,
                                {{}, [&](const SpaceWanted&) { stop = true; }, [&] { return stop; }});
  EXPECT_FALSE(kept.save(keeper, [] { throw NoSpace("full"); }));
  EXPECT_THAT(kept.folder.steps(), ElementsAre());
  EXPECT_EQ(keeper.describe_newest(), "no checkpoint was written yet");
  EXPECT_FALSE(keeper.load_newest(kept.model, kept.optimizer).has_value());
}

TEST(CheckpointKeeper, OtherFailuresAreErrors) {
  Kept kept;
  const CheckpointKeeper keeper(kept.folder, {});
  EXPECT_EQ(error_of([&] { kept.save(keeper, [] { fail("cannot write 'x': Input/output error"); }); }),
            "cannot write 'x': Input/output error");
  EXPECT_TRUE(kept.save(keeper, [] {}));
  kept.state.step = 6;
  EXPECT_TRUE(kept.save(keeper, [] {}));
  for (const std::int64_t step : {5, 6}) write_file(kept.folder.checkpoint(step) / "state.json", "{}");
  EXPECT_THAT(error_of([&] { keeper.load_newest(kept.model, kept.optimizer); }),
              HasSubstr("none of the other 1 checkpoints is whole either"));
  EXPECT_THAT(kept.folder.steps(), ElementsAre(5, 6)) << "nothing was set aside";
}

}  // namespace
}  // namespace ecp
