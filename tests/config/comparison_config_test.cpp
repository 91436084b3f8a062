#include "ecp/config/comparison_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <rapidcheck/gtest.h>

#include "tests/support/errors.h"

namespace ecp {
namespace {

using test::error_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string whole = R"([compare]
tokens = 1_500_000
seeds = [1, 22]
test = ["a.npy", "b.npy"]
set = ["train.lr=1e-3"]

[[model]]
name = "second one" # replaced below
config = "c/small.toml"
set = ["model.architecture=full", "model.dim=32"]

[[model]]
config = "c/wide.v2.toml"
)";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  return text.replace(text.find(from), from.size(), to);
}

TEST(ComparisonConfig, ReadsAFile) {
  const std::string text = replaced(whole, "second one", "full");
  EXPECT_TRUE(is_comparison(text, "f.toml"));
  const ComparisonConfig config = parse_comparison(text, "f.toml");
  EXPECT_EQ(config.tokens, 1500000);
  EXPECT_THAT(config.seeds, ElementsAre(1, 22));
  EXPECT_THAT(config.test, ElementsAre("a.npy", "b.npy"));
  EXPECT_THAT(config.set, ElementsAre("train.lr=1e-3"));
  ASSERT_EQ(config.models.size(), 2u);
  EXPECT_EQ(config.models[0].name, "full");
  EXPECT_EQ(config.models[0].config, "c/small.toml");
  EXPECT_THAT(config.models[0].set, ElementsAre("model.architecture=full", "model.dim=32"));
  EXPECT_EQ(config.models[1].name, "wide.v2") << "named after its file";
  EXPECT_THAT(config.models[1].set, IsEmpty());
}

TEST(ComparisonConfig, TrainingConfigurationsAreNone) {
  EXPECT_FALSE(is_comparison("[model]\ndim = 16\n[data]\ntrain = \"a.npy\"\n", "f.toml"));
  EXPECT_FALSE(is_comparison("", "f.toml"));
  const ComparisonConfig config = comparison_of({"x/a.toml", "b.toml"});
  EXPECT_EQ(config.models[0].name, "a");
  EXPECT_EQ(config.models[1].config, "b.toml");
  EXPECT_THAT(config.seeds, ElementsAre(1));
}

TEST(ComparisonConfig, SaysWhatIsWrong) {
  const auto said = [](const std::string& text) {
    return error_of([&] { parse_comparison(text, "f.toml"); });
  };
  EXPECT_THAT(said(whole), HasSubstr("f.toml: model 'second one': expected a name of letters"));
  EXPECT_THAT(said(replaced(whole, "second one", "wide.v2")),
              HasSubstr("two models are called 'wide.v2': 'c/small.toml' and 'c/wide.v2.toml'"));
  EXPECT_THAT(said(replaced(whole, "second one", "../x")), HasSubstr("model '../x'"));
  EXPECT_EQ(said("[compare]\n"), "f.toml: a comparison: expected at least one model");
  EXPECT_EQ(said("[compare]\ntoken = 5\n"), "f.toml:2: unknown key 'compare.token' (did you mean 'tokens'?)");
  EXPECT_EQ(said("[[model]]\nname = \"a\"\n"),
            "f.toml: model 'a': expected the name of a configuration, config = \"...\"");
  EXPECT_EQ(said("[[model]]\nconfg = \"a\"\n"),
            "f.toml:2: unknown key 'model.confg' (did you mean 'config'?)");
  EXPECT_EQ(said("[[compare]]\ntokens = 5\n"),
            "f.toml:1: expected one section [compare] and a list of [[model]]");
  EXPECT_EQ(said("[modle]\nname = \"a\"\n"),
            "f.toml:1: unknown section [modle] in a comparison (did you mean 'model'?)");
  EXPECT_THAT(said("[compare]\nseeds = [1.5]\n"),
              HasSubstr("compare.seeds: expected whole numbers, got 1.5"));
  EXPECT_THAT(said("[compare]\nseeds = [-1]\n"), HasSubstr("compare.seeds: expected 0 to"));
  EXPECT_THAT(said("[compare]\nseeds = []\n[[model]]\nconfig = \"a.toml\"\n"),
              HasSubstr("at least one seed"));
  EXPECT_THAT(said("[compare]\nseeds = [2, 2]\n[[model]]\nconfig = \"a.toml\"\n"),
              HasSubstr("2 stands there twice"));
  EXPECT_THAT(said("tokens = 5\n"), HasSubstr("f.toml:1: 'tokens' stands outside of a section"));
}

RC_GTEST_PROP(ComparisonConfig, WhatIsWrittenIsRead, ()) {
  ComparisonConfig config;
  config.tokens = *rc::gen::inRange<std::int64_t>(0, std::int64_t{1} << 50);
  config.seeds = *rc::gen::nonEmpty(
      rc::gen::unique<std::vector<std::int64_t>>(rc::gen::inRange<std::int64_t>(0, 9'000'000'000'000'000)));
  const auto texts = rc::gen::container<std::vector<std::string>>(rc::gen::string<std::string>());
  const auto readable = [](std::vector<std::string> all) {
    for (std::string& text : all)
      for (char& c : text) c = static_cast<char>(c & 0x7f);
    return all;
  };
  config.test = readable(*texts);
  config.set = readable(*texts);
  const int models = *rc::gen::inRange(1, 5);
  for (int i = 0; i < models; ++i)
    config.models.push_back(
        {"m+" + std::to_string(i), "x" + readable({*rc::gen::string<std::string>()})[0], readable(*texts)});
  const std::string text = to_toml(config);
  RC_ASSERT(to_toml(parse_comparison(text, "again")) == text);
}

}  // namespace
}  // namespace ecp
