#include "ecp/base/suggest.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ecp {
namespace {

TEST(Suggest, NearNamesAreFound) {
  const std::vector<std::string> names{"batch", "layers", "learning_rate", "lr"};
  EXPECT_EQ(did_you_mean("bach", names), " (did you mean 'batch'?)");
  EXPECT_EQ(did_you_mean("layer", names), " (did you mean 'layers'?)");
  EXPECT_EQ(did_you_mean("learning-rat", names), " (did you mean 'learning_rate'?)");
}

TEST(Suggest, FarNamesAreNot) {
  const std::vector<std::string> names{"batch", "layers"};
  EXPECT_EQ(did_you_mean("temperature", names), "");
  EXPECT_EQ(did_you_mean("", names), "");
  EXPECT_EQ(did_you_mean("batch", {}), "");
}

TEST(Suggest, TheNearestOfSeveralWins) {
  const std::vector<std::string> names{"steps", "step", "stop"};
  EXPECT_EQ(did_you_mean("stepp", names), " (did you mean 'steps'?)") << "the first of equals";
  EXPECT_EQ(did_you_mean("stp", names), " (did you mean 'step'?)");
}

TEST(Suggest, AlternativesReadAsASentence) {
  const std::vector<std::string> names{"a", "b", "c"};
  EXPECT_EQ(alternatives({}), "");
  EXPECT_EQ(alternatives(std::span(names).first(1)), "a");
  EXPECT_EQ(alternatives(std::span(names).first(2)), "a or b");
  EXPECT_EQ(alternatives(names), "a, b or c");
}

}  // namespace
}  // namespace ecp
