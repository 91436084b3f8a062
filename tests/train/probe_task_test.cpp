// Training on a generated task: that it learns, and that a run in parts is the whole run.
#include "ecp/train/probe_task.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ecp/config/config_file.h"
#include "ecp/eval/probe_evaluation.h"
#include "ecp/train/run_comparison.h"
#include "ecp/train/trainer.h"
#include "tests/train/training.h"

namespace ecp {
namespace {

using test::error_of;
using test::metrics;
using test::stopping_at;
using ::testing::HasSubstr;

struct ProbeTraining {
  test::TemporaryFolder folder;
  Config config = parse_config(
      "[model]\ndim = 32\nheads = 2\nlayers = 2\nsequence = 24\nblock = 8\n"
      "[data]\nprobe = \"recall\"\nprobe_items = 1\n"
      "[train]\nsteps = 12\nbatch = 4\nwarmup = 2\nlr = 1e-2\nthreads = 2\neval_every = 4\n"
      "checkpoint_every = 5\nlog_every = 1\n",
      "probe.toml");

  [[nodiscard]] Path run(const std::string& name = "run") const { return folder / name; }
};

TEST(ProbeTask, WritesARunFolder) {
  ProbeTraining training;
  const TrainOutcome outcome = train(training.config, training.run());
  EXPECT_TRUE(outcome.finished);
  EXPECT_EQ(outcome.tokens, 12U * 4 * 24);
  EXPECT_THAT(outcome.best, HasSubstr("best accuracy over distances 1 to 22: "));
  EXPECT_EQ(read_config(training.run() / "config.toml").model.vocab, 96);
  const auto lines = metrics(training.run(), "eval");
  ASSERT_EQ(lines.size(), 3U);
  for (const auto& line : lines) EXPECT_EQ(line["answers"], 16 * 16);
  const auto json = nlohmann::json::parse(read_file(training.run() / "run.json"));
  EXPECT_EQ(json["train"]["probe"], "recall of 1 items at distances 1 to 22 in 24 tokens");
}

TEST(ProbeTask, LearnsWhatItReachesAndNothingElse) {
  ProbeTraining training;
  training.config.train.steps = 300;
  training.config.train.batch = 32;
  training.config.train.eval_every = 0;
  training.config.model.layers = 1;  // of which the last row sees rows 8 to 23
  training.config.model.dim = 64;
  train(training.config, training.run());
  const Checkpoint checkpoint{training.run()};
  const auto probe = probe_of(checkpoint);
  ProbeOptions options;
  options.distances = {1, 16, 22};
  options.examples = 100;
  const ProbeCurve curve = evaluate_probe(checkpoint, *probe, options);
  EXPECT_EQ(curve.reach, 15);
  EXPECT_GE(curve.points[0].accuracy, 0.9);
  EXPECT_LT(curve.points[1].accuracy, 0.2) << "beyond what it sees; chance is 1/32";
  EXPECT_LT(curve.points[2].accuracy, 0.2);
  EXPECT_EQ(curve.points[0].examples, 100);
}

TEST(ProbeTask, LatentArchitecturesLearnOnTheirLastRows) {
  ProbeTraining training;
  training.config.model.architecture = "perceiver_ar";
  training.config.model.latents = 8;
  EXPECT_TRUE(train(training.config, training.run()).finished);
  EXPECT_EQ(evaluate_probe(Checkpoint(training.run()), *probe_of(Checkpoint(training.run())),
                           {.distances = {22}, .examples = 3})
                .reach,
            23);
}

TEST(ProbeTask, ResumeIsBitExact) {
  ProbeTraining training;
  training.config.model.dropout = 0.1;
  training.config.train.accumulation = 2;
  training.config.train.log_every = 3;
  EXPECT_TRUE(train(training.config, training.run("whole")).finished);
  EXPECT_EQ(train(training.config, training.run("parts"), stopping_at(8)).step, 8);
  EXPECT_TRUE(resume(training.run("parts")).finished);
  for (const Compared& part : compare_runs(training.run("whole"), training.run("parts")))
    EXPECT_EQ(part.difference, "") << part.what;
}

TEST(ProbeTask, MistakesAreTold) {
  const auto message = [](const std::string& changes) {
    return error_of([&] {
      parse_config(
          "[model]\ndim = 32\nheads = 2\nsequence = 24\n[data]\nprobe = \"recall\"\nprobe_items = 2\n",
          "probe.toml", {changes});
    });
  };
  EXPECT_THAT(message("data.probe=recal"), HasSubstr("unknown probe 'recal' (did you mean 'recall'?)"));
  EXPECT_THAT(message("model.vocab=7"), HasSubstr("model.vocab: expected the 96 tokens of data.probe"));
  EXPECT_THAT(message("data.images=here"), HasSubstr("data.probe: expected no data.train"));
  EXPECT_THAT(message("model.classes=3"), HasSubstr("data.probe: expected a causal language model"));
  EXPECT_THAT(message("data.probe_farthest=40"), HasSubstr("data.probe_farthest: expected 3 to 20"));
}

TEST(ProbeTask, OnlyARunTellsTheProbe) {
  test::Training text;
  train(text.config, text.run());
  EXPECT_THAT(error_of([&] { probe_of(Checkpoint(text.run())); }), HasSubstr("its run trained on no probe"));
}

}  // namespace
}  // namespace ecp
