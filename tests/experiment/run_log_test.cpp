#include "ecp/experiment/run_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"

namespace ecp {
namespace {

using test::error_of;
using test::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::Pair;

std::string train_line(int step, const std::string& loss) {
  return R"({"kind": "train", "step": )" + std::to_string(step) + R"(, "loss": )" + loss +
         R"(, "lr": 0.001, "grad_norm": 1, "tokens": 100, "tokens_per_second": 50, "seconds": 2, "peak_memory": 5})";
}

TEST(RunLog, ReadsAllKinds) {
  const RunLog log = parse_metrics(
      train_line(10, "5.5") + "\n" +
          R"({"kind": "eval", "step": 10, "seconds": 2, "loss": 5, "bits_per_byte": 2.5})" + "\n\n" +
          R"({"kind": "sample", "step": 10, "prompt": "It is", "text": " a truth"})" + "\n",
      "m.jsonl");
  ASSERT_EQ(log.train.size(), 1u);
  EXPECT_EQ(log.train[0].step, 10);
  EXPECT_EQ(log.train[0].loss, 5.5);
  EXPECT_EQ(log.train[0].tokens_per_second, 50);
  ASSERT_EQ(log.eval.size(), 1u);
  EXPECT_EQ(log.eval[0].figures.bits_per_byte, 2.5);
  EXPECT_TRUE(std::isnan(log.eval[0].figures.perplexity_word));
  ASSERT_EQ(log.samples.size(), 1u);
  EXPECT_EQ(log.samples[0].text, " a truth");
}

TEST(RunLog, ALastLineWithoutItsEndCountsIfItIsWhole) {
  const std::string first = train_line(1, "2") + "\n", second = train_line(2, "1");
  EXPECT_EQ(parse_metrics(first + second, "m").train.size(), 2u);
  for (std::size_t cut = 1; cut < second.size(); ++cut) {
    EXPECT_EQ(parse_metrics(first + second.substr(0, cut), "m").train.size(), 1u)
        << "cut after " << cut << " bytes";
  }
}

TEST(RunLog, BadLinesAreCountedAndNamed) {
  const std::string good = train_line(1, "2") + "\n";
  for (const auto& [line, message] : std::vector<std::pair<std::string, std::string>>{
           {"{\"kind\": \n", "expected a JSON object"},
           {"[1]\n", "expected a JSON object"},
           {"[1]", "expected a JSON object"},  // whole, though without its line end
           {"{\"kind\": \"\xff\"}\n", "expected a JSON object"},
           {"{}\n", "expected a string 'kind'"},
           {"{\"kind\": \"eval\"}\n", "expected a whole number 'step'"},
           {"{\"kind\": \"eval\", \"step\": -1}\n", "expected a whole number 'step'"},
           {"{\"kind\": \"train\", \"step\": 1}\n", "expected a number 'loss'"},
           {"{\"kind\": \"train\", \"step\": 1, \"loss\": \"low\"}\n", "expected a number 'loss'"},
           {"{\"kind\": \"sample\", \"step\": 1, \"prompt\": \"\"}\n", "expected a string 'text'"}}) {
    const RunLog log = parse_metrics(good + line, "m.jsonl");
    EXPECT_EQ(log.damaged, 1u) << line;
    EXPECT_EQ(log.first_damaged, "m.jsonl:2: " + message);
    EXPECT_EQ(log.train.size(), 1u);
  }
  const RunLog log = parse_metrics("x\n" + good + "y\n" + train_line(2, "1"), "m.jsonl");
  EXPECT_EQ(log.damaged, 2u);
  EXPECT_EQ(log.first_damaged, "m.jsonl:1: expected a JSON object");
  EXPECT_EQ(log.train.size(), 2u);
}

TEST(RunLog, KindsOfLaterVersionsArePassedOver) {
  const RunLog log = parse_metrics("{\"kind\": \"later\", \"at\": [1]}\n" + train_line(1, "2"), "m");
  EXPECT_EQ(log.damaged, 0u);
  EXPECT_EQ(log.train.size(), 1u);
}

TEST(RunLog, SkippedSteps) {
  const RunLog log = parse_metrics(R"({"kind":"skip","step":7,"reason":"loss is nan","lr":1})"
                                   "\n{\"kind\":\"skip\",\"step\":9}\n",
                                   "m");
  ASSERT_EQ(log.skipped.size(), 2u);
  EXPECT_EQ(log.skipped[0].step, 7);
  EXPECT_EQ(log.skipped[0].reason, "loss is nan");
}

TEST(RunLog, LossesThatAreNotFiniteAreGaps) {
  EXPECT_TRUE(std::isnan(parse_metrics(train_line(1, "null") + "\n", "m").train[0].loss));
}

TEST(RunLog, WhatAResumedRunWroteLastCounts) {
  const RunLog log = parse_metrics(train_line(10, "5") + "\n" + train_line(20, "4") + "\n" +
                                       train_line(30, "3") + "\n" + train_line(20, "4.5") + "\n",
                                   "m");
  ASSERT_EQ(log.train.size(), 2u);
  EXPECT_EQ(log.train[0].step, 10);
  EXPECT_EQ(log.train[1].loss, 4.5);
}

TEST(RunLog, EvaluationsAndBaselines) {
  const TemporaryFolder folder;
  write_file(folder / "northanger-abbey.json",
             R"({"loss": 4.5, "bits_per_byte": 1.8, "tokens": 1000, "data": "x"})");
  const NamedEvaluation evaluation = read_evaluation(folder / "northanger-abbey.json");
  EXPECT_EQ(evaluation.name, "northanger-abbey");
  EXPECT_EQ(evaluation.figures.tokens, 1000);

  const Path file = folder / "baselines.json";
  write_file(file,
             R"({"baselines": [{"name": "xz -9", "bits_per_byte": 2.53}, {"name": "bigram", "loss": 5}]})");
  const auto all = read_baselines(file);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].name, "xz -9");
  EXPECT_TRUE(std::isnan(all[0].figures.loss));

  write_file(file, "{}");
  EXPECT_EQ(error_of([&] { read_baselines(file); }), file.string() + ": expected a list \"baselines\"");
  write_file(file, R"({"baselines": [{"name": "a"}, 5]})");
  EXPECT_EQ(error_of([&] { read_baselines(file); }), file.string() + ": baseline 2: expected a JSON object");
  write_file(file, "nonsense");
  EXPECT_EQ(error_of([&] { read_baselines(file); }), file.string() + ": expected a JSON object");
}

TEST(RunLog, AccuraciesOfParts) {
  const TemporaryFolder folder;
  write_file(
      folder / "images.json",
      R"({"data": "x", "validation": {"loss": 2, "accuracy": 0.25, "images": 20}, "test": {"accuracy": 0.5}})");
  const auto all = read_evaluations(folder / "images.json");
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].name, "images, validation");
  EXPECT_EQ(all[0].figures.accuracy, 0.25);
  EXPECT_EQ(all[0].figures.images, 20);
  EXPECT_TRUE(std::isnan(all[0].figures.perplexity_token));
  EXPECT_EQ(all[1].name, "images, test");
  EXPECT_TRUE(std::isnan(all[1].figures.loss));
  write_file(folder / "text.json", R"({"loss": 4.5})");
  EXPECT_EQ(read_evaluations(folder / "text.json").size(), 1u);
  const RunLog log =
      parse_metrics(R"({"kind": "eval", "step": 5, "loss": 2.1, "accuracy": 0.3, "correct": 6, "images": 20})"
                    "\n",
                    "m");
  EXPECT_EQ(log.eval.at(0).figures.accuracy, 0.3);
}

TEST(RunLog, ConfigurationAndFacts) {
  const TemporaryFolder folder;
  write_file(folder / "config.toml",
             "# resolved\n[model]\ndim = 256\n\n[train]\nsample_prompt = \"a = b\"\n");
  const auto sections = read_resolved_config(folder / "config.toml");
  ASSERT_EQ(sections.size(), 2u);
  EXPECT_EQ(sections[0].section, "model");
  EXPECT_THAT(sections[0].rows, ElementsAre(Pair("dim", "256")));
  EXPECT_THAT(sections[1].rows, ElementsAre(Pair("sample_prompt", "\"a = b\"")));
  write_file(folder / "config.toml", "[model]\ndim\n");
  EXPECT_EQ(error_of([&] { read_resolved_config(folder / "config.toml"); }),
            (folder / "config.toml").string() + ":2: expected [section] or key = value");

  write_file(folder / "run.json",
             R"({"version": "1", "data": [{"path": "a.npy", "tokens": 5}], "ok": true})");
  EXPECT_THAT(read_json_facts(folder / "run.json").rows,
              ElementsAre(Pair("version", "1"), Pair("data.0.path", "a.npy"), Pair("data.0.tokens", "5"),
                          Pair("ok", "true")));
  const std::string open(100000, '['), close(100000, ']');
  write_file(folder / "run.json", "{\"a\": " + open + close + "}");
  EXPECT_EQ(error_of([&] { read_json_facts(folder / "run.json"); }),
            "run.json: nested deeper than 64 levels");
}

}  // namespace
}  // namespace ecp
