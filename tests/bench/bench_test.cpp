#include "ecp/bench/bench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "ecp/base/error.h"
#include "ecp/bench/decode.h"
#include "ecp/config/config_file.h"

namespace ecp {
namespace {

using ::testing::HasSubstr;

/// A work whose turns take these seconds a repeat, one after the other and from the first again.
Work made_up(std::string name, double amount, double tokens, std::vector<double> seconds) {
  auto turn = std::make_shared<std::size_t>(0);
  return {std::move(name), amount, tokens, 3, [seconds, turn](int repeats) {
            const double each = seconds[(*turn)++ % seconds.size()];
            return Timing{each * repeats, {{"turn", static_cast<double>(*turn)}}};
          }};
}

bool always() { return true; }

TEST(Bench, TakesMediansOfRatesAndOfSharesWithinARound) {
  // The first turn is the warm-up. The machine is slower by four in the second round: shares don't show it.
  const Bench bench{
      "", "B/s", made_up("ceiling", 100, 0, {9, 1, 4, 1}), {made_up("work", 50, 5, {9, 1, 4, 1.25})}};
  const BenchFigures figures = measure(bench, 3, always);
  EXPECT_DOUBLE_EQ(figures.ceiling, 100);
  ASSERT_EQ(figures.works.size(), 1u);
  const Figure& work = figures.works[0];
  EXPECT_EQ(work.name, "work");
  EXPECT_DOUBLE_EQ(work.seconds, 1.25);
  EXPECT_DOUBLE_EQ(work.rate, 40);
  EXPECT_DOUBLE_EQ(work.share, 0.5);
  EXPECT_DOUBLE_EQ(work.tokens_per_second, 4);
  EXPECT_EQ(work.facts, (std::vector<std::pair<std::string, double>>{{"turn", 4.0}}));
  EXPECT_GT(figures.peak_memory, 0u);
}

/// Says these, one after the other, and then yes.
std::function<bool()> saying(std::vector<bool> answers) {
  return [answers = std::move(answers), next = std::size_t{0}]() mutable {
    return next < answers.size() ? bool{answers[next++]} : true;
  };
}

TEST(Bench, TakesADisturbedTurnAgainWhenItIsOver) {
  const Bench bench{"", "B/s", made_up("ceiling", 1, 0, {1}), {made_up("work", 1, 0, {9, 7, 2})}};
  // Before all, after the ceiling, after the work, twice before it is taken again.
  const BenchFigures figures = measure(bench, 1, saying({true, true, false, false, true}));
  EXPECT_DOUBLE_EQ(figures.works[0].seconds, 2);
  EXPECT_EQ(figures.undisturbed, 1);
  EXPECT_EQ(figures.counted, 1);
}

TEST(Bench, LeavesDisturbedRoundsOutIfThreeOthersAreThere) {
  const auto bench = [] {
    return Bench{"", "B/s", made_up("ceiling", 1, 0, {1}), {made_up("work", 1, 0, {9, 8, 8, 8, 8, 2, 3, 4})}};
  };
  // The first round's four tries.
  const std::vector<bool> disturbed{true, true, false, true, false, true, false, true, false};
  BenchFigures figures = measure(bench(), 4, saying(disturbed));
  EXPECT_EQ(figures.undisturbed, 3);
  EXPECT_EQ(figures.counted, 3);
  EXPECT_DOUBLE_EQ(figures.works[0].seconds, 3);
  figures = measure(bench(), 3, saying(disturbed));
  EXPECT_EQ(figures.undisturbed, 2);
  EXPECT_EQ(figures.counted, 3);
  EXPECT_DOUBLE_EQ(figures.works[0].seconds, 3);  // of 8, 2, 3
}

TEST(Bench, GoesOnWhereTheMachineIsNeverUndisturbed) {
  const Bench bench{"", "B/s", made_up("ceiling", 1, 0, {1}), {made_up("work", 1, 0, {2})}};
  const BenchFigures figures = measure(bench, 3, [] { return false; });
  EXPECT_EQ(figures.undisturbed, 0);
  EXPECT_EQ(figures.counted, 3);
  EXPECT_DOUBLE_EQ(figures.works[0].seconds, 2);
}

TEST(Bench, TellsHowFarItIs) {
  const Bench bench{"", "B/s", made_up("ceiling", 1, 0, {1}), {made_up("work", 1, 0, {1})}};
  std::string told;
  measure(bench, 2, always,
          [&](const Progress& progress) { told += fmt::format("{}/{} ", progress.done, progress.total); });
  EXPECT_EQ(told, "0/2 1/2 2/2 ");
}

TEST(Bench, AnswersRequestsALineEach) {
  const Bench bench{"", "B/s", made_up("memory", 100, 0, {2}), {made_up("work", 50, 5, {1, 2})}};
  std::istringstream requests("work 3\nceiling 1\nwork 1\nundisturbed 1\n");
  std::ostringstream answers;
  answer_requests(bench, requests, answers);
  std::istringstream lines(answers.str());
  std::vector<nlohmann::json> got;
  for (std::string line; std::getline(lines, line);) got.push_back(nlohmann::json::parse(line));
  ASSERT_EQ(got.size(), 4u);
  EXPECT_TRUE(got[3]["undisturbed"].is_boolean());
  EXPECT_EQ(got[0]["seconds"], 1.0);
  EXPECT_EQ(got[0]["tokens_per_second"], 5.0);
  EXPECT_EQ(got[0]["turn"], 1.0);
  EXPECT_EQ(got[1]["rate"], 50.0);
  EXPECT_FALSE(got[1].contains("tokens_per_second"));
  EXPECT_EQ(got[2]["rate"], 25.0);
}

TEST(Bench, RefusesOtherRequests) {
  const Bench bench{"", "B/s", made_up("memory", 100, 0, {2}), {made_up("work", 50, 5, {1})}};
  for (const char* wrong : {"wrok 3", "work", "work -1", "work x", "memory 1"}) {
    std::istringstream requests(wrong);
    std::ostringstream answers;
    try {
      answer_requests(bench, requests, answers);
      FAIL() << wrong;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("expected one of ceiling, work and a number of repeats, got"))
          << wrong;
    }
  }
}

ModelConfig small_model() {
  return parse_config(
             "[model]\nvocab = 50\ndim = 64\nlayers = 2\nheads = 2\nsequence = 64\nblock = 16\n"
             "tie_embeddings = false\n[data]\ntrain = [\"none\"]\n",
             "test")
      .model;
}

TEST(DecodeBench, ReadsTheWeightsThatAreThereAndGoesOnFromItsPosition) {
  std::vector<double> bytes;
  for (const char* dtype : {"float32", "bfloat16", "int8"}) {
    const Bench bench = decode_bench(small_model(), dtype, {.threads = 1, .position = 100, .progress = {}});
    ASSERT_EQ(bench.works.size(), 1u);
    bytes.push_back(bench.works[0].amount);
    EXPECT_EQ(bench.ceiling.amount, bytes.back());
    const Timing timing = bench.works[0].run(3);
    EXPECT_GT(timing.seconds, 0);
    EXPECT_EQ(timing.facts, (std::vector<std::pair<std::string, double>>{{"position", 103.0}}));
    EXPECT_GT(bench.ceiling.run(2).seconds, 0);
  }
  EXPECT_GT(bytes[0], 1.9 * bytes[1]);  // norms stay float32
  EXPECT_GT(bytes[1], 1.7 * bytes[2]);  // scales come on top
  EXPECT_THROW(decode_bench(small_model(), "float16", {}), Error);
}

}  // namespace
}  // namespace ecp
