#include "ecp/experiment/axis.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <vector>

namespace ecp {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::Pointwise;

TEST(Axis, TicksAreRoundNumbers) {
  EXPECT_THAT(ticks(0, 10, 5), Pointwise(DoubleNear(1e-9), std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_THAT(ticks(1.7, 9.4, 5), Pointwise(DoubleNear(1e-9), std::vector<double>{2, 4, 6, 8}));
  EXPECT_THAT(ticks(0, 0.0012, 4), Pointwise(DoubleNear(1e-9), std::vector<double>{0, 0.0005, 0.001}));
  EXPECT_THAT(ticks(5, 5, 4), ElementsAre(5));
  EXPECT_THAT(log_ticks(9, 1200, 6),
              Pointwise(DoubleNear(1e-6), std::vector<double>{10, 30, 100, 300, 1000}));
  EXPECT_THAT(log_ticks(40, 48, 6), Pointwise(DoubleNear(1e-6), std::vector<double>{40, 42, 44, 46, 48}));
}

TEST(Axis, TicksStayInsideAndFew) {
  EXPECT_TRUE(rc::check("ticks are within the range and not more than asked, give or take one", [] {
    const double least = *rc::gen::inRange(-1000000, 1000000) / 997.0;
    const double size = *rc::gen::inRange(1, 1000000) / 991.0;
    const auto all = ticks(least, least + size, 6);
    RC_ASSERT(all.size() >= 2u && all.size() <= 8u);
    for (const double value : all)
      RC_ASSERT(value >= least - size * 1e-6 && value <= least + size * (1 + 1e-6));
  }));
}

TEST(Axis, FewTicksForAnyRange) {
  EXPECT_LE(ticks(1e16, 1e16 + 2, 6).size(), 8u) << "doubles are 2 apart there";
  EXPECT_LE(log_ticks(1e-200, 1e200, 6).size(), 8u);
  EXPECT_GE(log_ticks(1e-200, 1e200, 6).size(), 3u);
}

}  // namespace
}  // namespace ecp
