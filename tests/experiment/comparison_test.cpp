#include "ecp/experiment/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "ecp/config/complexity.h"
#include "ecp/experiment/comparison_report.h"
#include "ecp/experiment/comparison_tables.h"
#include "tests/experiment/comparison_fixture.h"

namespace ecp {
namespace {

using test::ComparisonFixture;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST(Spread, OfSeveralValues) {
  EXPECT_EQ(spread_of({}).count, 0u);
  EXPECT_TRUE(std::isnan(spread_of({NAN}).mean));
  const Spread one = spread_of({2, NAN});
  EXPECT_EQ(one.count, 1u);
  EXPECT_EQ(one.range(), 0);
  const Spread three = spread_of({1, 5, 3});
  EXPECT_EQ(three.mean, 3);
  EXPECT_EQ(three.least, 1);
  EXPECT_EQ(three.most, 5);
  EXPECT_EQ(three.deviation, 2);
  EXPECT_TRUE(std::isnan(spread_of({1, 5}).deviation)) << "of two values it says nothing";
}

TEST(Spread, WhatCanBeToldApart) {
  EXPECT_EQ(difference(spread_of({1}), spread_of({9, 9})), Difference::unknown);
  EXPECT_EQ(difference(spread_of({1, 2}), spread_of({2, 3})), Difference::within_seeds)
      << "as far as the range";
  EXPECT_EQ(difference(spread_of({1, 2}), spread_of({2.5, 2.7})), Difference::beyond_seeds);
  EXPECT_EQ(difference(spread_of({2.5, 2.7}), spread_of({1, 2})), Difference::beyond_seeds);
}

/// All runs trained and scored: ecp with losses `a`, full with `b`.
ComparisonPlan finished(const ComparisonFixture& fixture, const std::vector<double>& a,
                        const std::vector<double>& b) {
  std::vector<std::int64_t> seeds;
  for (std::size_t i = 0; i < a.size(); ++i) seeds.push_back(static_cast<std::int64_t>(i) + 1);
  const ComparisonPlan plan = fixture.plan(fixture.two(seeds));
  for (const PlannedRun& run : plan.runs) {
    const double loss = (run.model == 0 ? a : b)[static_cast<std::size_t>(run.seed - 1)];
    ComparisonFixture::train(plan, run, 10, loss);
    ComparisonFixture::score(plan, run, loss);
  }
  return plan;
}

TEST(Comparison, FiguresAndOrder) {
  const ComparisonFixture fixture;
  const Comparison comparison = read_comparison(finished(fixture, {3.0, 3.2}, {2.0, 2.1}));
  EXPECT_TRUE(comparison.complete());
  EXPECT_THAT(comparison.notes, IsEmpty());
  EXPECT_THAT(comparison.machines, ElementsAre("1.0 (abc), 2 threads, a processor"));
  EXPECT_THAT(comparison.ranking(0), ElementsAre(1, 0));
  const ModelResult& ecp = comparison.models[0];
  EXPECT_DOUBLE_EQ(ecp.texts[0].loss.mean, 3.1);
  EXPECT_EQ(ecp.tokens.mean, 160);
  EXPECT_EQ(ecp.tokens_per_second.mean, 80);
  EXPECT_EQ(ecp.peak_memory.most, 3e9);
  EXPECT_EQ(comparison.models[1].entries.visible, 36);
  EXPECT_EQ(comparison.models[1].entries.dense, 64);
  const ModelConfig& full = comparison.plan.models[1].config.model;
  EXPECT_EQ(comparison.models[1].training_flops, complexity(full, full.sequence).training_per_token());
  EXPECT_EQ(comparison.runs[0].best_step, 10);
  EXPECT_EQ(comparison.runs[0].validation_loss, 3.0);
  const auto curve = validation_curve(comparison, 0);
  ASSERT_EQ(curve.size(), 2u);
  EXPECT_DOUBLE_EQ(curve[0].loss, 4.1) << "mean of the seeds";
  EXPECT_EQ(curve[0].tokens, 80);
  EXPECT_EQ(curve[1].seconds, 2);
}

TEST(Comparison, WhatIsNotThereIsSaid) {
  const ComparisonFixture fixture;
  const ComparisonPlan plan = finished(fixture, {3.0, 3.2}, {2.0, 2.1});
  // ecp's second run failed half-way; its earlier score is of no use.
  ComparisonFixture::train(plan, plan.runs[2], 6, 4.0);
  write_file(plan.runs[2].log, "step 6\necp: error: training stopped at step 7: loss is <b>nan</b>\n\n");
  std::filesystem::remove_all(plan.runs[3].folder);
  const Comparison comparison = read_comparison(plan);
  EXPECT_FALSE(comparison.complete());
  EXPECT_EQ(comparison.runs[2].stage, RunStage::begun);
  EXPECT_EQ(comparison.runs[3].stage, RunStage::absent);
  EXPECT_EQ(comparison.models[0].texts[0].loss.count, 1u);
  EXPECT_THAT(comparison.notes,
              ElementsAre("ecp-seed2 failed: training stopped at step 7: loss is <b>nan</b>"));
  for (const std::string& report : {comparison_html(comparison), comparison_markdown(comparison)}) {
    EXPECT_THAT(report, HasSubstr("1 of 2"));
    EXPECT_THAT(report, HasSubstr("not begun"));
    EXPECT_THAT(report, Not(HasSubstr(" <b>nan")));
  }
  // A log that ends with an error of a run that came to its end later means nothing.
  ComparisonFixture::train(plan, plan.runs[2], 10, 3.2);
  ComparisonFixture::score(plan, plan.runs[2], 3.2);
  EXPECT_THAT(read_comparison(plan).notes, IsEmpty());
}

TEST(Comparison, WhatCannotBeComparedIsSaid) {
  const ComparisonFixture fixture;
  const ComparisonPlan plan = finished(fixture, {3.0}, {2.0});
  ComparisonFixture::score(plan, plan.runs[1], 2.0, 27);
  write_file(plan.runs[1].folder / "run.json",
             R"({"train": [{"hash": "other"}], "starts": [{"step": 0, "version": "2.0", "commit": "abc"}]})");
  const Comparison comparison = read_comparison(plan);
  EXPECT_THAT(comparison.notes,
              ElementsAre(HasSubstr("validation files changed between the runs"),
                          HasSubstr("times and speeds aren't"),
                          HasSubstr("test: the models scored different numbers of tokens")));
}

TEST(ComparisonReport, OneSeed) {
  const ComparisonFixture fixture;
  const Comparison comparison = read_comparison(finished(fixture, {3.0}, {2.0}));
  const std::string markdown = comparison_markdown(comparison);
  for (const char* expected :
       {"# Comparison of 2 models\n", "Each run processes 160 tokens; seed 1.", "\n## Results on test\n",
        "in windows of 8 tokens of which the last 8 count at most, with at least 4 tokens before each",
        "| full | 1 | **7.39** | – | **73.9** | **2.8860** |",
        "| ecp | 2 | 20.09 | +171.8 % | 200.9 | 4.3290 | 3.0000 | 1 |", "with one seed nobody can tell",
        "| model.architecture | \"ecp\" | \"full\" |", "Made by ecp 1.0 (abc), 2 threads, a processor.",
        "| ecp-seed1 | 1 | done | 10 | 10 | 3.0000 | 3.0000 |", "the texts scored here chose nothing",
        "| ecp | 10 | 16 | 160 | 160 | 10 | 3.0000 | 2 s | 80 | 0.0 | 3.00 |"}) {
    EXPECT_THAT(markdown, HasSubstr(expected));
  }
}

TEST(ComparisonReport, SeveralSeeds) {
  const ComparisonFixture fixture;
  const std::string two = comparison_markdown(read_comparison(finished(fixture, {3.0, 3.2}, {3.1, 3.0})));
  EXPECT_THAT(two, HasSubstr("3.0500 (3.0000 to 3.1000)"));
  EXPECT_THAT(
      two,
      HasSubstr("full, ecp can't be told apart: their difference is smaller than the spread over seeds."));
  EXPECT_THAT(two, HasSubstr(" %, can't be told apart |"));
  const std::string three = comparison_markdown(read_comparison(finished(fixture, {3, 4, 5}, {1, 1.5, 2})));
  EXPECT_THAT(three, HasSubstr("4.0000 ± 1.0000"));
  EXPECT_THAT(three, Not(HasSubstr("can't be told apart"))) << "2.5 is more than 2";
}

TEST(ComparisonReport, ThePageStandsAlone) {
  const ComparisonFixture fixture;
  const std::string page = comparison_html(read_comparison(finished(fixture, {3.0}, {2.0})));
  for (const char* expected :
       {"<h1>Comparison of 2 models</h1>", "default-src 'none'", "prefers-color-scheme: dark",
        "width=device-width", "<b>Validation loss over tokens</b>", "data-x=\"80,160\"",
        "<b>Validation loss over time</b>", "data-x=\"1,2\"", "key s1\">full</span>"})
    EXPECT_THAT(page, HasSubstr(expected));
  for (const char* forbidden : {"http://", "https://", "src=", "@import", "url("})
    EXPECT_THAT(page, Not(HasSubstr(forbidden)));
  EXPECT_EQ(page.find("<script"), page.rfind("<script"));
}

TEST(ComparisonReport, Json) {
  const ComparisonFixture fixture;
  const ComparisonPlan plan = finished(fixture, {3.0, 3.5}, {2.0, 2.25});
  std::filesystem::remove_all(plan.runs[0].folder);
  write_comparison(read_comparison(plan));
  const auto json = nlohmann::json::parse(read_file(plan.folder / "comparison.json"));
  EXPECT_EQ(json["format"], "ecp-comparison");
  EXPECT_EQ(json["complete"], false);
  EXPECT_EQ(json["texts"]["test"]["ranking"][0]["model"], "full");
  EXPECT_EQ(json["texts"]["test"]["ranking"][1]["difference_to_better"], "unknown") << "one seed is left";
  EXPECT_EQ(json["models"][1]["texts"]["test"]["loss"]["mean"], 2.125);
  EXPECT_EQ(json["models"][1]["texts"]["test"]["loss"]["deviation"], nullptr);
  EXPECT_EQ(json["models"][0]["runs"][0]["stage"], "absent");
  EXPECT_EQ(json["models"][0]["runs"][0]["validation_loss"], nullptr);
  EXPECT_EQ(json["models"][0]["runs"][1]["scores"]["test"]["tokens"], 28);
  EXPECT_TRUE(std::filesystem::exists(plan.folder / "comparison.html"));
  EXPECT_TRUE(std::filesystem::exists(plan.folder / "comparison.md"));
}

TEST(ComparisonReport, BeforeAnythingIsTrained) {
  const ComparisonFixture fixture;
  const Comparison comparison = read_comparison(fixture.plan(fixture.two({1, 2})));
  EXPECT_THAT(comparison.ranking(0), IsEmpty());
  EXPECT_THAT(comparison_markdown(comparison), HasSubstr("Nothing has been trained yet."));
  EXPECT_THAT(comparison_html(comparison), Not(HasSubstr("<svg")));
}

}  // namespace
}  // namespace ecp
