// Training a classifier on images: that it learns, and that a run in parts is the whole run.
#include "ecp/train/image_task.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "ecp/config/config_file.h"
#include "ecp/eval/image_evaluation.h"
#include "ecp/train/run_comparison.h"
#include "ecp/train/run_folder.h"
#include "ecp/train/trainer.h"
#include "tests/support/images.h"
#include "tests/train/training.h"

namespace ecp {
namespace {

using test::error_of;
using test::metrics;
using test::stopping_at;
using ::testing::HasSubstr;

/// A folder of images whose brightness tells their class, and a configuration of a small classifier for them.
struct ImageTraining {
  test::TemporaryFolder folder;
  Config config;

  ImageTraining() {
    test::write_images(folder / "images", 80, 20);
    config = parse_config(
        "[model]\nclasses = 10\ndim = 16\nheads = 2\nlayers = 1\nsequence = 1024\nblock = 128\n"
        "[data]\nimages = \"" +
            (folder / "images").string() +
            "\"\nvalidation_images = 20\n"
            "[train]\nsteps = 12\nbatch = 4\nwarmup = 2\nlr = 1e-2\nthreads = 2\neval_every = 4\n"
            "checkpoint_every = 5\nlog_every = 1\n",
        "images.toml");
  }

  [[nodiscard]] Path run(const std::string& name = "run") const { return folder / name; }
};

TEST(ImageTask, WritesARunFolder) {
  ImageTraining training;
  std::vector<Measurement> measured;
  RunFacts facts;
  TrainObserver observer;
  observer.started = [&](const RunFacts& told) { facts = told; };
  observer.evaluated = [&](std::int64_t, const Measurement& result, bool) { measured.push_back(result); };
  const TrainOutcome outcome = train(training.config, training.run(), observer);
  EXPECT_TRUE(outcome.finished);
  EXPECT_EQ(outcome.tokens, 12U * 4 * 1024);
  EXPECT_THAT(outcome.best, HasSubstr("best validation accuracy "));
  EXPECT_EQ(facts.unit.tokens, 1024);
  EXPECT_STREQ(facts.unit.name, "images");
  EXPECT_EQ(facts.tokens_per_epoch, 60U * 1024);
  EXPECT_EQ(read_config(training.run() / "config.toml").model.vocab, 256);

  const auto lines = metrics(training.run(), "eval");
  ASSERT_EQ(lines.size(), 3U);
  ASSERT_EQ(measured.size(), 3U);
  double best = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(lines[i]["images"], 20);
    EXPECT_EQ(lines[i]["accuracy"].get<double>(), lines[i]["correct"].get<double>() / 20);
    EXPECT_EQ(measured[i].score, 1 - lines[i]["accuracy"].get<double>());
    EXPECT_EQ(measured[i].columns[1].name, "accuracy");
    best = std::max(best, lines[i]["accuracy"].get<double>());
  }
  EXPECT_EQ(outcome.best_score, 1 - best);
  EXPECT_TRUE(metrics(training.run(), "sample").empty());
  const auto json = nlohmann::json::parse(read_file(training.run() / "run.json"));
  EXPECT_EQ(json["train"][0]["images"], 80);
  EXPECT_EQ(json["validation"]["images"], 20);
  EXPECT_EQ(json["test"]["images"], 20);
  EXPECT_FALSE(std::filesystem::exists(training.run() / "checkpoints/last/tokenizer"));
  EXPECT_TRUE(std::filesystem::exists(training.run() / "checkpoints/last/optimizer.safetensors"));
}

TEST(ImageTask, LearnsToTellBrightness) {
  ImageTraining training;
  training.config.train.steps = 60;
  training.config.train.batch = 10;
  training.config.train.lr = 2e-2;
  training.config.train.eval_every = 0;
  const TrainOutcome outcome = train(training.config, training.run());
  EXPECT_GE(1 - outcome.best_score, 0.7) << "chance is 0.1";

  const Checkpoint checkpoint{training.run()};
  const ImageEvaluation result = evaluate_images(checkpoint, {});
  ASSERT_EQ(result.parts.size(), 2U);
  EXPECT_EQ(result.data, training.config.data.images);
  EXPECT_EQ(result.parts[0].first, ImagePart::validation);
  EXPECT_EQ(result.parts[0].second.accuracy, 1 - outcome.best_score) << "the same images, the same weights";
  EXPECT_EQ(result.parts[1].first, ImagePart::test);
  EXPECT_GE(result.parts[1].second.accuracy, 0.7);
  ImageEvaluationOptions options;
  options.parts = {ImagePart::train};
  options.accuracy.batch = 7;  // an odd rest
  EXPECT_EQ(evaluate_images(checkpoint, options).parts[0].second.images, 60U);
}

TEST(ImageTask, EvaluationOutsideOfARunNeedsToKnowItsImages) {
  ImageTraining training;
  training.config.train.steps = 2;
  train(training.config, training.run());
  std::filesystem::copy(RunFolder(training.run()).checkpoint(2), training.folder / "alone",
                        std::filesystem::copy_options::recursive);
  const Checkpoint alone{training.folder / "alone"};
  EXPECT_THAT(error_of([&] { evaluate_images(alone, {}); }), HasSubstr("expected --data FOLDER with images"));
  ImageEvaluationOptions options;
  options.data = training.config.data.images;
  EXPECT_EQ(evaluate_images(alone, options).parts.size(), 1U) << "only test";
  options.parts = {ImagePart::validation};
  EXPECT_THAT(error_of([&] { evaluate_images(alone, options); }),
              HasSubstr("the validation images aren't known"));
}

TEST(ImageTask, ResumeIsBitExact) {
  for (const char* dtype : {"float32", "bfloat16"}) {
    ImageTraining training;
    training.config.model.dropout = 0.1;
    training.config.data.flip = true;
    training.config.train.accumulation = 2;
    training.config.train.log_every = 3;
    training.config.train.dtype = dtype;
    EXPECT_TRUE(train(training.config, training.run("whole")).finished);
    // In the second epoch of 60 images.
    EXPECT_EQ(train(training.config, training.run("parts"), stopping_at(8)).step, 8);
    EXPECT_TRUE(resume(training.run("parts")).finished);
    for (const Compared& part : compare_runs(training.run("whole"), training.run("parts")))
      EXPECT_EQ(part.difference, "") << part.what;
  }
}

TEST(ImageTask, ResumeNoticesOtherImages) {
  ImageTraining training;
  train(training.config, training.run(), stopping_at(3));
  write_file(training.folder / "images/train.bin", test::image_records(80, 77));
  EXPECT_THAT(error_of([&] { resume(training.run()); }),
              HasSubstr("its training images aren't those of the run that is resumed"));
}

TEST(ImageTask, AnEvaluationMayTakeAPart) {
  ImageTraining training;
  training.config.train.steps = 1;
  training.config.eval.tokens = 5 * 1024;
  train(training.config, training.run());
  EXPECT_EQ(metrics(training.run(), "eval")[0]["images"], 5);
  training.config.data.validation_images = 0;
  EXPECT_FALSE(train(training.config, training.run("none")).best_step.has_value());
  EXPECT_TRUE(metrics(training.run("none"), "eval").empty());
}

TEST(ImageTask, AStepThatIsNotFiniteNamesItsImages) {
  ImageTraining training;
  training.config.train.lr = 1e30;
  training.config.train.clip = 0;
  training.config.train.warmup = 0;
  training.config.train.most_skipped = 0;
  EXPECT_THAT(error_of([&] { train(training.config, training.run()); }),
              HasSubstr("the batch: '" + (training.folder / "images/train.bin").string() + "' images "));
}

}  // namespace
}  // namespace ecp
