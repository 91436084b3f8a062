// What training does: the run folder, its numbers, what it learns.
#include "ecp/train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <iterator>
#include <limits>
#include <memory>

#include "ecp/config/parameters.h"
#include "ecp/kernels/isa.h"
#include "ecp/train/run_comparison.h"
#include "ecp/train/run_folder.h"
#include "ecp/weights/checkpoint.h"
#include "tests/train/training.h"

namespace ecp {
namespace {

using test::error_of;
using test::metrics;
using test::Training;
using test::write_tokens;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Trainer, WritesARunFolder) {
  Training training;
  training.config.train.sample_tokens = 5;
  training.config.train.log_every = 5;
  training.config.train.dtype = "auto";
  const TrainOutcome outcome = train(training.config, training.run());
  EXPECT_TRUE(outcome.finished);
  EXPECT_EQ(outcome.step, 12);
  EXPECT_EQ(outcome.tokens, 12U * 2 * 16);

  const Config stored = read_config(training.run() / "config.toml");
  EXPECT_EQ(stored.model.vocab, 256) << "resolved from the data";
  EXPECT_EQ(stored.train.steps, 12);
  EXPECT_EQ(stored.train.dtype, kernels::supported(kernels::Isa::avx512_bf16) ? "bfloat16" : "float32");

  const auto facts = nlohmann::json::parse(read_file(training.run() / "run.json"));
  EXPECT_EQ(facts["train"].size(), 2U);
  EXPECT_EQ(facts["train"][0]["hash"], TokenFile(training.folder / "one.npy").info().hash);
  EXPECT_EQ(facts["validation"]["tokens"], 200);
  EXPECT_EQ(facts["starts"].size(), 1U);
  EXPECT_EQ(facts["parameters"], parameter_count(stored.model));

  const auto lines = metrics(training.run(), "train");
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0]["step"], 5);
  EXPECT_EQ(lines[1]["step"], 10);
  EXPECT_EQ(lines[2]["step"], 12);
  EXPECT_EQ(lines[2]["tokens"], 384);
  for (const char* key : {"loss", "lr", "grad_norm", "tokens_per_second", "seconds", "peak_memory"}) {
    EXPECT_GT(lines[1][key].get<double>(), 0) << key;
  }
  const auto evaluations = metrics(training.run(), "eval");
  ASSERT_EQ(evaluations.size(), 3U);
  EXPECT_EQ(evaluations[2]["step"], 12);
  EXPECT_EQ(evaluations[2]["tokens"], 200);
  EXPECT_EQ(evaluations[2]["window"], 16);
  EXPECT_EQ(evaluations[2]["context"], 8);
  const auto samples = metrics(training.run(), "sample");
  ASSERT_EQ(samples.size(), 1U);
  EXPECT_EQ(samples[0]["prompt"], test::random_text(200, 4).substr(0, 32));
  EXPECT_FALSE(samples[0]["text"].get<std::string>().empty());
}

TEST(Trainer, KeepsTheBestAndTheNewestCheckpoints) {
  Training training;
  training.config.train.steps = 40;
  training.config.train.lr = 0.3;  // restless enough for the validation loss to rise and fall
  training.config.train.eval_every = 2;
  training.config.train.checkpoint_every = 4;
  training.config.train.keep = 2;
  std::vector<std::int64_t> saved, best;
  TrainObserver observer;
  observer.saved = [&](std::int64_t step, const Path& path) {
    saved.push_back(step);
    EXPECT_EQ(RunFolder(training.run()).checkpoint(step), path);
    EXPECT_EQ(std::filesystem::read_symlink(training.checkpoint("last")), path.filename());
    EXPECT_EQ(std::filesystem::read_symlink(training.checkpoint("best")),
              RunFolder(training.run()).checkpoint(best.back()).filename());
    std::vector<std::int64_t> kept = RunFolder(training.run()).steps();
    std::vector<std::int64_t> expected(saved.end() - std::min<std::ptrdiff_t>(2, std::ssize(saved)),
                                       saved.end());
    if (expected.front() > best.back()) expected.insert(expected.begin(), best.back());
    EXPECT_EQ(kept, expected);
  };
  observer.evaluated = [&](std::int64_t step, const Measurement&, bool is_best) {
    if (is_best) best.push_back(step);
  };
  const TrainOutcome outcome = train(training.config, training.run(), observer);
  for (std::int64_t step = 4; step <= 40; step += 4) EXPECT_THAT(saved, ::testing::Contains(step));
  for (const std::int64_t step : best) EXPECT_THAT(saved, ::testing::Contains(step));
  EXPECT_EQ(outcome.best_step, best.back());
  double lowest = 1e9;
  for (const auto& line : metrics(training.run(), "eval"))
    lowest = std::min(lowest, line["loss"].get<double>());
  EXPECT_EQ(outcome.best_score, lowest);
}

TEST(Trainer, AccumulationIsOneBigBatch) {
  // Dropout is keyed by the sample, so it is the same however samples are grouped. A large eps keeps AdamW
  // from turning the rounding of tiny gradients into signs.
  Training training;
  training.config.model.dropout = 0.2;
  training.config.train.eps = 1e-3;
  training.config.train.weight_decay = 0;
  for (const std::int64_t accumulation : {1, 2, 4}) {
    training.config.train.accumulation = accumulation;
    training.config.train.batch = 4 / accumulation;
    train(training.config, training.run(std::to_string(accumulation)));
  }
  const auto whole = metrics(training.run("1"), "train");
  for (const char* name : {"2", "4"}) {
    const auto parts = metrics(training.run(name), "train");
    ASSERT_EQ(parts.size(), whole.size());
    for (std::size_t i = 0; i < whole.size(); ++i) {
      EXPECT_NEAR(parts[i]["loss"].get<double>(), whole[i]["loss"].get<double>(), 1e-5);
      EXPECT_NEAR(parts[i]["grad_norm"].get<double>(), whole[i]["grad_norm"].get<double>(), 1e-5);
      EXPECT_EQ(parts[i]["tokens"], whole[i]["tokens"]);
    }
    EXPECT_LT(test::largest_difference(training.checkpoint("last/model.safetensors", "1"),
                                       training.checkpoint("last/model.safetensors", name)),
              1e-5);
  }
}

TEST(Trainer, TheSameConfigurationGivesTheSameWeights) {
  Training training;
  training.config.model.dropout = 0.1;
  train(training.config, training.run("a"));
  train(training.config, training.run("b"));
  EXPECT_EQ(read_file(training.checkpoint("last/model.safetensors", "a")),
            read_file(training.checkpoint("last/model.safetensors", "b")));
  training.config.train.seed = 2;
  train(training.config, training.run("c"));
  EXPECT_NE(read_file(training.checkpoint("last/model.safetensors", "a")),
            read_file(training.checkpoint("last/model.safetensors", "c")));
}

TEST(Trainer, LearnsARepeatingText) {
  for (const char* dtype : {"float32", "bfloat16"}) {
    Training training;
    std::string text;
    for (int i = 0; i < 60; ++i) text += "abcdefghij klmn\n";
    write_tokens(training.folder / "one.npy", {text});
    training.config.data.train = {(training.folder / "one.npy").string()};
    training.config.data.validation.clear();
    training.config.model.dim = 32;
    training.config.train.dtype = dtype;
    training.config.train.steps = 120;
    training.config.train.batch = 4;
    training.config.train.lr = 2e-2;
    double loss = 100;
    TrainObserver observer;
    observer.stepped = [&](const StepReport& report) { loss = report.loss; };
    const TrainOutcome outcome = train(training.config, training.run(), observer);
    EXPECT_LT(loss, 0.2) << dtype;  // each character says which one is next
    EXPECT_FALSE(outcome.best_step.has_value()) << "no validation data";
    EXPECT_FALSE(std::filesystem::exists(training.checkpoint("best")));
  }
}

TEST(Trainer, WindowsCanStayInsideDocuments) {
  Training training;
  training.config.train.eps = 1e-3;    // or AdamW turns the rounding of tiny gradients into signs
  std::vector<std::string> documents;  // shorter than a window, so that every window crosses one
  for (std::uint64_t i = 0; i < 60; ++i) documents.push_back(test::random_text(12, 50 + i));
  write_tokens(training.folder / "one.npy", documents);
  train(training.config, training.run("across"));
  training.config.data.cross_documents = false;
  train(training.config, training.run("inside"));
  EXPECT_GT(test::largest_difference(training.checkpoint("last/model.safetensors", "across"),
                                     training.checkpoint("last/model.safetensors", "inside")),
            1e-4);
  // A file of one document: every window's document starts before it, and nothing changes.
  training.config.data.train = {(training.folder / "two.npy").string()};
  train(training.config, training.run("one inside"));
  training.config.data.cross_documents = true;
  train(training.config, training.run("one across"));
  EXPECT_LT(test::largest_difference(training.checkpoint("last/model.safetensors", "one across"),
                                     training.checkpoint("last/model.safetensors", "one inside")),
            5e-5);
}

TEST(Trainer, CanFollowTheClock) {
  Training training;
  training.config.train.minutes = 0.01;
  training.config.train.steps = 1;
  training.config.train.eval_every = 0;
  training.config.train.checkpoint_every = 0;
  const TrainOutcome outcome = train(training.config, training.run());
  EXPECT_TRUE(outcome.finished);
  EXPECT_GE(outcome.seconds, 0.6);
  const auto lines = metrics(training.run(), "train");
  ASSERT_FALSE(lines.empty());
  for (std::size_t i = 0; i + 1 < lines.size(); ++i) {
    EXPECT_LT(lines[i]["seconds"].get<double>(), 0.6) << "it ends with the step that uses the time up";
  }
  EXPECT_LE(lines.back()["lr"].get<double>(), training.config.train.lr);
  EXPECT_EQ(metrics(training.run(), "eval").size(), 1U) << "only at the end";
}

/// A configuration that starts from weights with a NaN in the embedding of the byte 'Z'.
struct Poisoned : Training {
  Poisoned() {
    config.model.tie_embeddings = false;
    config.train.batch = 1;
    config.train.eval_every = 0;
    Config clean = config;
    clean.train.steps = 1;
    train(clean, run("clean"));
    const Path checkpoint_folder = RunFolder(run("clean")).checkpoint(1);
    {
      const SafetensorsFile file(checkpoint_folder / "model.safetensors");
      const auto bytes = file.at("embedding.weight").bytes;
      std::vector<std::byte> embedding(bytes.begin(), bytes.end());
      const float bad = std::numeric_limits<float>::quiet_NaN();
      std::memcpy(embedding.data() + static_cast<std::size_t>('Z' * config.model.dim) * sizeof bad, &bad,
                  sizeof bad);
      std::vector<NamedTensor> tensors;
      for (const auto& [name, view] : file.tensors()) {
        tensors.push_back({name, view});
        if (name == "embedding.weight") tensors.back().view.bytes = embedding;
      }
      write_safetensors(checkpoint_folder / "model.safetensors", tensors);
    }
    std::filesystem::remove(checkpoint_folder / "manifest.json");
    write_manifest(checkpoint_folder);
    config.train.init = checkpoint_folder.string();
  }
};

TEST(Trainer, SkipsStepsThatAreNotFinite) {
  Poisoned training;
  std::string text = test::random_text(400, 1);
  text[100] = 'Z';
  write_tokens(training.folder / "one.npy", {text});
  training.config.data.train = {(training.folder / "one.npy").string()};
  training.config.data.validation.clear();
  training.config.train.steps = 60;  // more than an epoch of 24 windows
  training.config.train.most_skipped = 1;
  std::vector<SkipReport> skips;
  TrainObserver observer;
  observer.skipped = [&](const SkipReport& skip) { skips.push_back(skip); };
  const TrainOutcome outcome = train(training.config, training.run(), observer);
  EXPECT_TRUE(outcome.finished);
  ASSERT_GE(skips.size(), 2U);
  EXPECT_LE(skips.size(), 3U) << "one window of an epoch has the byte";
  EXPECT_EQ(outcome.skipped, std::ssize(skips));
  EXPECT_EQ(outcome.tokens, (60 - skips.size()) * 16);
  const auto lines = metrics(training.run(), "skip");
  ASSERT_EQ(lines.size(), skips.size());
  for (std::size_t i = 0; i < skips.size(); ++i) {
    EXPECT_EQ(skips[i].reason, "loss is nan");
    EXPECT_EQ(lines[i]["step"], skips[i].step);
    EXPECT_EQ(lines[i]["where"], skips[i].where);
    std::int64_t begin = -1;  // the window that is named has the byte
    ASSERT_EQ(std::sscanf(skips[i].where.c_str() + skips[i].where.rfind(' '), "%ld", &begin), 1)
        << skips[i].where;
    EXPECT_LE(begin, 100);
    EXPECT_GT(begin + 16, 100);
  }
  for (const auto& line : metrics(training.run(), "train")) EXPECT_TRUE(line["loss"].is_number());
  const SafetensorsFile weights(training.checkpoint("last/model.safetensors"));
  for (const float value : weights.at("classifier.weight").to_float()) ASSERT_TRUE(std::isfinite(value));

  // Stopped in between it is the same run.
  auto now = std::make_shared<std::int64_t>(0);
  TrainObserver stopping;
  stopping.stepped = [now](const StepReport& report) { *now = report.step; };
  stopping.stop = [now, at = skips[0].step] { return *now == at; };
  EXPECT_FALSE(train(training.config, training.run("parts"), stopping).finished);
  EXPECT_TRUE(resume(training.run("parts")).finished);
  for (const Compared& part : compare_runs(training.run(), training.run("parts")))
    EXPECT_EQ(part.difference, "") << part.what;
}

TEST(Trainer, EndsWhenNothingIsFiniteAnyMore) {
  Poisoned training;
  training.config.data.validation.clear();
  write_tokens(training.folder / "one.npy", {test::random_text(300, 1)});
  write_tokens(training.folder / "bad.npy", {std::string(300, 'Z')});
  training.config.data.train = {(training.folder / "one.npy").string(),
                                (training.folder / "bad.npy").string()};
  training.config.data.weights = {1, 0};
  training.config.train.steps = 4;
  EXPECT_TRUE(train(training.config, training.run("good")).finished);
  training.config.data.weights = {0, 1};
  training.config.train.most_skipped = 3;
  training.config.train.checkpoint_every = 2;
  training.config.train.steps = 12;
  const std::string error = error_of([&] { train(training.config, training.run()); });
  EXPECT_THAT(error, HasSubstr("training stopped at step 4: loss is nan at learning rate"));
  EXPECT_THAT(error, HasSubstr("4 steps in a row; the batch: '"));
  EXPECT_THAT(error, HasSubstr("bad.npy' from tokens "));
  EXPECT_THAT(error, HasSubstr("no checkpoint was written yet"));
  EXPECT_EQ(metrics(training.run(), "skip").size(), 4U);
  EXPECT_TRUE(RunFolder(training.run()).steps().empty()) << "weights with a NaN aren't saved";
}

TEST(Trainer, ReportsTheFactsFirst) {
  Training training;
  RunFacts facts;
  TrainObserver observer;
  observer.started = [&](const RunFacts& told) { facts = told; };
  observer.stop = [] { return true; };
  train(training.config, training.run(), observer);
  EXPECT_EQ(facts.tokens_per_step, 32);
  EXPECT_EQ(facts.threads, 2);
  EXPECT_EQ(facts.visible_entries_full, 16 * 17 / 2);
  EXPECT_EQ(facts.visible_entries, 4 * 10 + 3 * 16);
  EXPECT_EQ(facts.parameters - facts.parameters_without_embeddings, 256 * 16);
  EXPECT_FALSE(facts.resumed_from.has_value());
}

TEST(Trainer, RefusesWhatDoesNotFitBeforeItWritesAnything) {
  Training training;
  const auto refuses = [&](const std::function<void(Config&)>& change, const std::string& message) {
    Config config = training.config;
    change(config);
    EXPECT_THAT(error_of([&] { train(config, training.run()); }), HasSubstr(message));
    EXPECT_FALSE(std::filesystem::exists(training.run())) << message;
  };
  refuses([](Config& c) { c.data.train = {"missing.npy"}; }, "missing.npy");
  refuses([](Config& c) { c.data.validation = "missing.npy"; }, "missing.npy");
  refuses([](Config& c) { c.model.sequence = 800; }, "one.npy");
  refuses([](Config& c) { c.model.vocab = 300; }, "model.vocab: expected the 256 tokens of the tokenizer of");
  refuses([](Config& c) { c.model.heads = 3; }, "model.heads: expected a divisor of model.dim 16, got 3");
  refuses([](Config& c) { c.train.init = "missing"; }, "checkpoint 'missing': no such folder");
  refuses([](Config& c) { c.data.train.clear(); }, "data.train: expected at least one token file");
}

}  // namespace
}  // namespace ecp
