#include "ecp/train/same_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ecp/config/config_file.h"
#include "tests/support/errors.h"

namespace ecp {
namespace {

using test::error_of;
using ::testing::HasSubstr;

Config parse(const std::vector<std::string>& overrides = {}) {
  return parse_config("[model]\nvocab = 256\n[data]\ntrain = [\"a.npy\"]\n", "test.toml", overrides);
}

TEST(SameRun, TakesOverWhatMayChange) {
  const Config result =
      continued(parse(), parse({"train.steps=77", "train.minutes=1.5", "train.threads=3", "train.keep=9",
                                "train.sample_prompt=Hello", "eval.batch=2"}));
  EXPECT_EQ(result.train.steps, 77);
  EXPECT_EQ(result.train.minutes, 1.5);
  EXPECT_EQ(result.train.threads, 3);
  EXPECT_EQ(result.train.keep, 9);
  EXPECT_EQ(result.train.sample_prompt, "Hello");
  EXPECT_EQ(result.eval.batch, 2);
}

TEST(SameRun, NamesTheFirstFieldThatMayNot) {
  EXPECT_THAT(error_of([] { continued(parse(), parse({"train.lr=0.5"})); }),
              HasSubstr("train.lr: expected 0.001 as in the run that is resumed, got 0.5"));
  EXPECT_THAT(error_of([] { continued(parse(), parse({"model.dim=512"})); }),
              HasSubstr("model.dim: expected 256 as in the run that is resumed, got 512"));
  EXPECT_THAT(error_of([] { continued(parse(), parse({"data.train=b.npy"})); }),
              HasSubstr("data.train: expected [\"a.npy\"] as in the run that is resumed, got [\"b.npy\"]"));
  EXPECT_THAT(error_of([] { continued(parse(), parse({"eval.context=0"})); }), HasSubstr("eval.context"));
}

TEST(SameRun, AVocabularyToBeTakenFromTheDataAgrees) {
  EXPECT_EQ(continued(parse(), parse({"model.vocab=0"})).model.vocab, 256);
  EXPECT_THAT(error_of([] { continued(parse(), parse({"model.vocab=300"})); }), HasSubstr("model.vocab"));
}

TEST(SameRun, ATypeThatTheMachineChoosesStaysTheRuns) {
  EXPECT_EQ(continued(parse({"train.dtype=bfloat16"}), parse({"train.dtype=auto"})).train.dtype, "bfloat16");
  EXPECT_EQ(continued(parse({"train.dtype=float32"}), parse({"train.dtype=auto"})).train.dtype, "float32");
  EXPECT_THAT(error_of([] { continued(parse(), parse({"train.dtype=bfloat16"})); }),
              HasSubstr("train.dtype"));
}

}  // namespace
}  // namespace ecp
