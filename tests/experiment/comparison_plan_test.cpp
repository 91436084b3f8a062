#include "ecp/experiment/comparison_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/experiment/comparison_fixture.h"
#include "tests/support/errors.h"

namespace ecp {
namespace {

using test::ComparisonFixture;
using test::error_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ComparisonPlan, RunsOfAllModelsWithAllSeeds) {
  const ComparisonFixture fixture;
  const ComparisonPlan plan = fixture.plan(fixture.two({1, 7}));
  std::vector<std::string> names;
  for (const PlannedRun& run : plan.runs) names.push_back(run.name);
  EXPECT_THAT(names, ElementsAre("ecp-seed1", "full-seed1", "ecp-seed7", "full-seed7"));
  EXPECT_EQ(plan.config_of(plan.runs[3]).train.seed, 7);
  EXPECT_EQ(plan.config_of(plan.runs[3]).model.architecture, "full");
  EXPECT_EQ(plan.models[0].config.model.vocab, 256);
  EXPECT_EQ(plan.models[0].tokens, 10 * 2 * 8);
  EXPECT_EQ(plan.models[0].context, 4);
  EXPECT_EQ(plan.models[0].config.eval.context, 4);
  EXPECT_EQ(plan.models[0].scored_rows, 8);
  EXPECT_EQ(plan.models[0].trained, plan.models[0].tokens);
  EXPECT_FALSE(plan.on_validation);
  EXPECT_FALSE(std::filesystem::exists(plan.folder)) << "planning writes nothing";
}

TEST(ComparisonPlan, BudgetsAreRoundedUpToSteps) {
  const ComparisonFixture fixture;
  ComparisonConfig comparison = fixture.two();
  comparison.models[1].set = {"train.batch=3", "train.accumulation=2", "train.minutes=5"};
  for (const auto& [tokens, steps, others] :
       {std::tuple{1, 1, 1}, {16, 1, 1}, {17, 2, 1}, {48, 3, 1}, {49, 4, 2}, {96, 6, 2}, {97, 7, 3}}) {
    comparison.tokens = tokens;
    const ComparisonPlan plan = fixture.plan(comparison);
    EXPECT_EQ(plan.models[0].config.train.steps, steps) << tokens;
    EXPECT_EQ(plan.models[1].config.train.steps, others) << tokens;
    EXPECT_EQ(plan.models[1].tokens, others * 48) << tokens;
    EXPECT_EQ(plan.models[1].config.train.minutes, 0) << "the budget counts";
  }
  comparison.tokens = 0;
  EXPECT_THAT(error_of([&] { fixture.plan(comparison); }),
              HasSubstr("'full': train.minutes: expected 0, got 5"));
  comparison.models[1].set.pop_back();
  EXPECT_EQ(error_of([&] { fixture.plan(comparison); }),
            "'full' would process 480 tokens and 'ecp' 160: expected the same, or --tokens");
}

TEST(ComparisonPlan, OverridesComeInOrder) {
  const ComparisonFixture fixture;
  ComparisonConfig comparison = fixture.two();
  comparison.set = {"train.lr=0.25", "model.layers=3"};
  comparison.models[1].set = {"train.lr=0.5"};
  const ComparisonPlan plan = plan_comparison(fixture.path("out"), comparison, {"model.layers=5"});
  EXPECT_EQ(plan.models[0].config.train.lr, 0.25);
  EXPECT_EQ(plan.models[1].config.train.lr, 0.5);
  EXPECT_EQ(plan.models[1].config.model.layers, 5);
  EXPECT_THAT(plan.models[1].source,
              HasSubstr("full.toml train.lr=0.25 model.layers=3 train.lr=0.5 model.layers=5"));
}

TEST(ComparisonPlan, DataMustBeTheSame) {
  const ComparisonFixture fixture;
  ComparisonConfig comparison = fixture.two();
  const auto said = [&](const std::vector<std::string>& set) {
    comparison.models[1].set = set;
    return error_of([&] { fixture.plan(comparison); });
  };
  EXPECT_THAT(said({"data.train=other.npy"}), HasSubstr("'full': data.train: expected [\""));
  EXPECT_THAT(said({"data.train=other.npy"}),
              HasSubstr("as in 'ecp', got [\"other.npy\"] (--set data.train=... sets"));
  EXPECT_THAT(said({"data.weights=2"}),
              HasSubstr("'full': data.weights: expected [] as in 'ecp', got [2.0]"));
  EXPECT_THAT(said({"data.validation=other.npy"}), HasSubstr("'full': data.validation: expected"));
  EXPECT_THAT(said({"data.cross_documents=false"}),
              HasSubstr("'full': data.cross_documents: expected true as in 'ecp'"));
  EXPECT_THAT(said({"eval.tokens=5"}), HasSubstr("'full': eval.tokens: expected 0 as in 'ecp', got 5"));
  EXPECT_THAT(said({"model.vocab=300"}), HasSubstr("'full': model.vocab: expected the 256 tokens"));
  EXPECT_EQ(said({"train.lr=0.5"}), "");
  comparison.set = {"data.validation="};
  EXPECT_THAT(said({}), HasSubstr("'ecp': data.validation: expected a token file, by which"));
  comparison.set = {"data.train=", "data.validation=", "data.probe=passkey", "data.probe_items=1"};
  EXPECT_THAT(said({}), HasSubstr("'ecp': data.train: expected token files: a comparison is of language"));
}

TEST(ComparisonPlan, TestFiles) {
  const ComparisonFixture fixture;
  ComparisonConfig comparison = fixture.two();
  const auto said = [&](const std::vector<std::string>& test) {
    comparison.test = test;
    return error_of([&] { fixture.plan(comparison); });
  };
  const std::string test = fixture.path("test.npy").string();
  EXPECT_THAT(said({test, test}), HasSubstr("expected names that tell them apart"));
  EXPECT_THAT(said({fixture.path("none.npy").string()}), HasSubstr("none.npy"));
  test::write_tokens(fixture.path("baselines.npy"), {"some text"});
  EXPECT_THAT(said({fixture.path("baselines.npy").string()}), HasSubstr("expected another name"));
  EXPECT_EQ(said({}), "");
  const ComparisonPlan plan = fixture.plan(comparison);
  EXPECT_TRUE(plan.on_validation);
  EXPECT_EQ(plan.texts[0].name, "validation");
}

TEST(ComparisonPlan, DifferentLengthsAreScoredInTheirOwnWindows) {
  const ComparisonFixture fixture;
  ComparisonConfig comparison = fixture.two();
  comparison.models[1].set = {"model.sequence=16", "train.batch=1"};
  const ComparisonPlan plan = fixture.plan(comparison);
  EXPECT_EQ(plan.models[0].context, 4);
  EXPECT_EQ(plan.models[1].context, 8);
  EXPECT_EQ(plan.models[1].scored_rows, 8);
}

TEST(ComparisonPlan, AllAreScoredAsTheOneWithTheFewestLogits) {
  const ComparisonFixture fixture;
  ComparisonConfig comparison = fixture.two();
  comparison.models[1].set = {"model.architecture=perceiver_ar", "model.latents=2"};
  const ComparisonPlan plan = fixture.plan(comparison);
  for (const PlannedModel& model : plan.models) {
    EXPECT_EQ(model.scored_rows, 2);
    EXPECT_EQ(model.context, 6);
    EXPECT_EQ(model.config.eval.context, 6);
    EXPECT_EQ(model.tokens, 160);
  }
  EXPECT_EQ(plan.models[0].trained, 160);
  EXPECT_EQ(plan.models[1].trained, 40);
}

TEST(ComparisonPlan, HowFarARunIs) {
  const ComparisonFixture fixture;
  const ComparisonPlan plan = fixture.plan(fixture.two());
  const PlannedRun& run = plan.runs[0];
  EXPECT_EQ(plan.stage_of(run), RunStage::absent);
  ComparisonFixture::train(plan, run, 6, 5.0);
  EXPECT_EQ(plan.stage_of(run), RunStage::begun);
  ComparisonFixture::score(plan, run, 4.0);
  EXPECT_EQ(plan.stage_of(run), RunStage::begun) << "it isn't at its end";
  ComparisonFixture::train(plan, run, 10, 4.5);
  EXPECT_EQ(plan.stage_of(run), RunStage::trained) << "what was scored was another checkpoint";
  ComparisonFixture::score(plan, run, 4.0);
  EXPECT_EQ(plan.stage_of(run), RunStage::scored);
  EXPECT_EQ(plan.stage_of(plan.runs[1]), RunStage::absent);

  ComparisonFixture::train(plan, run, 10, 4.5);
  write_file(run.folder / "metrics.jsonl", "{\"kind\":\"train\",\"step\":10,\"loss\":1}\n");
  EXPECT_EQ(plan.stage_of(run), RunStage::begun) << "its last evaluation is missing";
}

TEST(ComparisonPlan, ScoresCountForTheirTextOnly) {
  const ComparisonFixture fixture;
  const ComparisonPlan plan = fixture.plan(fixture.two());
  const PlannedRun& run = plan.runs[0];
  ComparisonFixture::train(plan, run, 10, 4.5);
  ComparisonFixture::score(plan, run, 4.0);
  ASSERT_TRUE(plan.is_scored(run, plan.texts[0]));
  test::write_tokens(fixture.path("test.npy"), {"another text altogether"});
  EXPECT_EQ(fixture.plan(fixture.two()).stage_of(run), RunStage::trained);
  write_file(plan.evaluation_file(run, plan.texts[0]), "{damaged");
  EXPECT_FALSE(plan.is_scored(run, plan.texts[0]));
  write_file(plan.evaluation_file(run, plan.texts[0]), R"({"window": 8, "context": 3})");
  EXPECT_THAT(error_of([&] { record_scored(plan, run, plan.texts[0]); }), HasSubstr("context: expected 4"));
}

TEST(ComparisonPlan, RunsMadeOtherwiseAreRefused) {
  const ComparisonFixture fixture;
  ComparisonConfig comparison = fixture.two();
  const ComparisonPlan plan = fixture.plan(comparison);
  ComparisonFixture::train(plan, plan.runs[1], 10, 4.5);
  comparison.set = {"train.keep=1", "train.threads=3", "eval.batch=2"};
  EXPECT_EQ(error_of([&] { fixture.plan(comparison); }), "");
  comparison.set = {"train.lr=0.5"};
  EXPECT_EQ(error_of([&] { fixture.plan(comparison); }),
            "'" + plan.runs[1].folder.string() +
                "' was made with train.lr = 0.001, and 0.5 is asked for: choose another --output, or delete "
                "that run");
  comparison.set.clear();
  comparison.tokens = 1000;
  EXPECT_THAT(error_of([&] { fixture.plan(comparison); }),
              HasSubstr("was made with train.steps = 10, and 63 is asked"));
}

TEST(ComparisonPlan, WhatIsStoredGoesOn) {
  const ComparisonFixture fixture;
  ComparisonConfig comparison = fixture.two({1, 2});
  comparison.tokens = 100;
  comparison.models[1].set = {"train.lr=0.5"};
  const ComparisonPlan plan = fixture.plan(comparison);
  EXPECT_THAT(error_of([&] { stored_comparison(fixture.path("out")); }),
              HasSubstr("expected comparison.toml in it"));
  store_plan(plan, comparison.tokens);
  const std::string stored = read_file(plan.config_file(plan.models[1]));
  EXPECT_THAT(stored, HasSubstr("full.toml train.lr=0.5\n"));
  std::filesystem::rename(fixture.path("out"), fixture.path("moved"));

  const ComparisonConfig again = stored_comparison(fixture.path("moved"));
  const ComparisonPlan moved = plan_comparison(fixture.path("moved"), again);
  EXPECT_EQ(moved.seeds, plan.seeds);
  for (std::size_t i = 0; i < plan.models.size(); ++i)
    EXPECT_EQ(to_toml(moved.models[i].config), to_toml(plan.models[i].config));
  store_plan(moved, again.tokens);
  EXPECT_EQ(read_file(moved.config_file(moved.models[1])), stored) << "where it came from stays said";
}

}  // namespace
}  // namespace ecp
