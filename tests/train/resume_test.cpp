// A run that was interrupted and goes on is the run that wasn't.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <memory>
#include <stdexcept>

#include "ecp/base/interrupt.h"
#include "ecp/train/run_comparison.h"
#include "ecp/train/run_folder.h"
#include "ecp/train/trainer.h"
#include "ecp/train/training_state.h"
#include "tests/train/training.h"

namespace ecp {
namespace {

using test::error_of;
using test::metrics;
using test::stopping_at;
using test::Training;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// Everything that has a state: dropout, a mixture, documents, accumulation, sums between lines of metrics.
struct Everything : Training {
  Everything() {
    config.model.dropout = 0.15;
    config.data.weights = {0.7, 0.3};
    config.data.cross_documents = false;
    config.train.accumulation = 2;
    config.train.log_every = 3;
  }
};

/// All that a computation decides, and what is kept of it.
void expect_same_run(const Path& a, const Path& b) {
  for (const Compared& part : compare_runs(a, b)) EXPECT_EQ(part.difference, "") << part.what;
  EXPECT_EQ(RunFolder(a).steps(), RunFolder(b).steps());
  EXPECT_EQ(std::filesystem::read_symlink(a / "checkpoints/best"),
            std::filesystem::read_symlink(b / "checkpoints/best"));
}

/// Stops within the evaluation or the sample of a step.
TrainObserver stopping_within(std::int64_t step, bool evaluation) {
  auto state = std::make_shared<std::pair<std::int64_t, int>>(0, 0);
  TrainObserver observer;
  observer.stepped = [state](const StepReport& report) { *state = {report.step, 0}; };
  observer.evaluating = [state](const Progress&) { ++state->second; };
  observer.evaluated = [state](std::int64_t, const Measurement&, bool) { state->second = -1; };
  observer.stop = [state, step, evaluation] {
    return state->first == step && (evaluation ? state->second > 0 : state->second < 0);
  };
  return observer;
}

TEST(Resume, IsBitExact) {
  for (const char* dtype : {"float32", "bfloat16"}) {
    Everything training;
    training.config.train.dtype = dtype;
    EXPECT_TRUE(train(training.config, training.run("whole")).finished);
    const TrainOutcome first = train(training.config, training.run("parts"), stopping_at(5));
    EXPECT_FALSE(first.finished);
    EXPECT_EQ(first.step, 5);
    const TrainOutcome second = resume(training.run("parts"));
    EXPECT_TRUE(second.finished);
    EXPECT_EQ(second.step, 12);
    expect_same_run(training.run("whole"), training.run("parts"));
  }
}

TEST(Resume, AtEveryStep) {
  Everything training;
  training.config.train.steps = 7;
  training.config.train.keep = 10;
  training.config.train.checkpoint_every = 1;
  train(training.config, training.run("whole"));
  for (std::int64_t step = 1; step < 7; ++step) {
    const Path run = training.run(std::to_string(step));
    train(training.config, run, stopping_at(step));
    resume(run);
    expect_same_run(training.run("whole"), run);
  }
}

TEST(Resume, AfterACrashTakesTheNewestCheckpoint) {
  Everything training;
  training.config.train.log_every = 1;
  train(training.config, training.run("whole"));
  TrainObserver crash;
  crash.stepped = [](const StepReport& report) {
    if (report.step == 9) throw std::runtime_error("power cut");
  };
  EXPECT_THROW(train(training.config, training.run("parts"), crash), std::runtime_error);
  // What a killed writer leaves behind.
  std::filesystem::create_directory(training.checkpoint(".step-00000010.tmp-7", "parts"));
  write_file(training.run("parts") / "metrics.jsonl",
             read_file(training.run("parts") / "metrics.jsonl") + "{\"kind\": \"tra");
  const std::int64_t newest = RunFolder(training.run("parts")).steps().back();
  EXPECT_GE(newest, 5);
  RunFacts facts;
  TrainObserver observer;
  observer.started = [&](const RunFacts& told) { facts = told; };
  resume(training.run("parts"), {}, observer);
  EXPECT_EQ(facts.resumed_from, newest);
  expect_same_run(training.run("whole"), training.run("parts"));
  EXPECT_FALSE(std::filesystem::exists(training.checkpoint(".step-00000010.tmp-7", "parts")));
}

TEST(Resume, WithoutACheckpointStartsFromTheBeginning) {
  Everything training;
  train(training.config, training.run("whole"));
  TrainObserver crash;
  crash.stepped = [](const StepReport& report) {
    if (report.step == 3) throw std::runtime_error("power cut");
  };
  EXPECT_THROW(train(training.config, training.run("parts"), crash), std::runtime_error);
  EXPECT_THAT(RunFolder(training.run("parts")).steps(), IsEmpty());
  resume(training.run("parts"));
  expect_same_run(training.run("whole"), training.run("parts"));
}

TEST(Resume, OfAFinishedRunDoesNothingUntilItIsExtended) {
  Everything training;
  train(training.config, training.run());
  const std::string weights = read_file(training.checkpoint("last/model.safetensors"));
  EXPECT_EQ(resume(training.run()).step, 12);
  EXPECT_EQ(read_file(training.checkpoint("last/model.safetensors")), weights);
  Config longer = training.config;
  longer.train.steps = 15;
  EXPECT_EQ(resume(training.run(), longer).step, 15);
  EXPECT_EQ(read_config(training.run() / "config.toml").train.steps, 15);
  const auto facts = nlohmann::json::parse(read_file(training.run() / "run.json"));
  ASSERT_EQ(facts["starts"].size(), 3U);
  EXPECT_EQ(facts["starts"][2]["step"], 12);
  longer.train.lr = 1;
  EXPECT_THAT(error_of([&] { resume(training.run(), longer); }), HasSubstr("train.lr: expected 0.01"));
}

TEST(Resume, WarnsAboutAnotherNumberOfThreads) {
  Everything training;
  train(training.config, training.run(), stopping_at(2));
  Config other = training.config;
  other.train.threads = 1;
  std::vector<std::string> warnings;
  TrainObserver observer;
  observer.warned = [&](std::string_view text) { warnings.emplace_back(text); };
  resume(training.run(), other, observer);
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("threads: 2 before, 1 now")));
}

TEST(Resume, DoesFirstWhatAStopLeftUndone) {
  for (const bool evaluation : {true, false}) {
    for (const std::int64_t step : {4, 12}) {
      Everything training;
      training.config.train.sample_tokens = 4;
      training.config.train.sample_every = 4;
      train(training.config, training.run("whole"));
      const TrainOutcome first =
          train(training.config, training.run("parts"), stopping_within(step, evaluation));
      EXPECT_FALSE(first.finished);
      EXPECT_EQ(first.step, step);
      EXPECT_EQ(metrics(training.run("parts"), "eval").size(), evaluation ? step / 4 - 1 : step / 4);
      EXPECT_EQ(metrics(training.run("parts"), "sample").size(), step / 4 - 1);
      const auto state = nlohmann::json::parse(read_file(training.checkpoint("last/state.json", "parts")));
      EXPECT_EQ(state["pending_evaluation"], evaluation);
      EXPECT_EQ(state["pending_sample"], true);
      // Stopped in the same place once more, then not.
      EXPECT_FALSE(resume(training.run("parts"), {}, stopping_within(0, evaluation)).step < step);
      EXPECT_TRUE(resume(training.run("parts")).finished);
      for (const Compared& part : compare_runs(training.run("whole"), training.run("parts")))
        EXPECT_EQ(part.difference, "") << part.what << " " << evaluation << " " << step;
    }
  }
}

TEST(Resume, AStopWhileAnEvaluationCountsWordsSavesAsWell) {
  Everything training;
  training.config.eval.tokens = 100;  // a part, whose words have to be counted
  train(training.config, training.run("whole"));
  {
    const StopRequests requests;
    int asked = 0;
    TrainObserver observer;
    observer.stepped = [](const StepReport& report) {
      if (report.step == 4) std::raise(SIGTERM);
    };
    observer.stop = [&] {
      return stop_requested() != 0 && ++asked > 1;
    };  // the first time is before the evaluation
    const TrainOutcome outcome = train(training.config, training.run("parts"), observer);
    EXPECT_FALSE(outcome.finished);
    EXPECT_TRUE(outcome.saved);
    EXPECT_EQ(outcome.step, 4);
    EXPECT_THAT(metrics(training.run("parts"), "eval"), IsEmpty());
  }
  EXPECT_TRUE(resume(training.run("parts")).finished);
  for (const Compared& part : compare_runs(training.run("whole"), training.run("parts")))
    EXPECT_EQ(part.difference, "") << part.what;
}

TEST(Resume, TakesTheNewestWholeCheckpoint) {
  Everything training;
  train(training.config, training.run("whole"));
  train(training.config, training.run("parts"), stopping_at(11));  // with those of 5, 10 and 11, and the best
  const std::vector<std::int64_t> steps = RunFolder(training.run("parts")).steps();
  ASSERT_GE(steps.size(), 3U);
  const auto damage = [&](const char* file, std::int64_t step) {
    const Path path = RunFolder(training.run("parts")).checkpoint(step) / file;
    std::string content = read_file(path);
    content[content.size() / 2] = static_cast<char>(content[content.size() / 2] ^ 1);
    write_file(path, content);
  };
  damage("optimizer.safetensors", 11);
  damage("manifest.json", 10);
  std::vector<std::string> warnings;
  RunFacts facts;
  TrainObserver observer;
  observer.warned = [&](std::string_view text) { warnings.emplace_back(text); };
  observer.started = [&](const RunFacts& told) { facts = told; };
  resume(training.run("parts"), {}, observer);
  EXPECT_EQ(facts.resumed_from, steps[steps.size() - 3]);
  ASSERT_EQ(warnings.size(), 2U);
  EXPECT_THAT(warnings[0], HasSubstr("optimizer.safetensors is damaged"));
  EXPECT_THAT(warnings[0],
              HasSubstr(fmt::format("going on from step {} instead (it is 'damaged-step-00000011' "
                                    "now)",
                                    *facts.resumed_from)));
  EXPECT_THAT(warnings[1], HasSubstr("manifest"));
  expect_same_run(training.run("whole"), training.run("parts"));
}

TEST(Resume, IsNotForTwoProcessesAtOnce) {
  Training training;
  TrainObserver observer;
  observer.stepped = [&](const StepReport& report) {
    if (report.step == 2) {
      EXPECT_THAT(error_of([&] { resume(training.run()); }), HasSubstr("is in use by another process"));
    }
  };
  EXPECT_TRUE(train(training.config, training.run(), observer).finished);
}

TEST(Resume, RefusesDamageAndChangedData) {
  Training training;
  training.config.data.validation.clear();  // one checkpoint, not the best besides
  EXPECT_THAT(error_of([&] { resume(training.run()); }),
              HasSubstr("no such folder, there is nothing to resume"));
  train(training.config, training.run(), stopping_at(5));
  EXPECT_THAT(error_of([&] { train(training.config, training.run()); }),
              HasSubstr("continue it with --resume"));

  const Path optimizer = training.checkpoint("step-00000005/optimizer.safetensors");
  const std::string content = read_file(optimizer);
  write_file(optimizer, content.substr(0, content.size() / 2));
  EXPECT_THAT(error_of([&] { resume(training.run()); }),
              HasSubstr("optimizer.safetensors has another size: expected"));
  EXPECT_THAT(error_of([&] { resume(training.run()); }),
              HasSubstr("; it is the only checkpoint of this run"));
  std::string flipped = content;
  flipped[flipped.size() - 9] = static_cast<char>(flipped[flipped.size() - 9] ^ 1);
  write_file(optimizer, flipped);
  EXPECT_THAT(error_of([&] { resume(training.run()); }), HasSubstr("optimizer.safetensors is damaged"));
  std::filesystem::remove(optimizer);
  EXPECT_THAT(error_of([&] { resume(training.run()); }), HasSubstr("optimizer.safetensors is missing"));
  write_file(optimizer, content);

  test::write_tokens(training.folder / "two.npy", {test::random_text(400, 99)});
  EXPECT_THAT(error_of([&] { resume(training.run()); }),
              HasSubstr("its content has changed since the checkpoint"));
}

}  // namespace
}  // namespace ecp
