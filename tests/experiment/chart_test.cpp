#include "ecp/experiment/chart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

namespace ecp {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

TEST(Chart, DrawsEachSeriesWithAxes) {
  const std::string svg =
      render({.title = "Loss & more",
              .x_label = "step",
              .y_label = "nats",
              .series = {{"training", {{0, 5}, {10, 4}, {20, 3}}}, {"validation", {{20, 3.5}}, true}}});
  EXPECT_THAT(svg, HasSubstr("Loss &amp; more"));
  EXPECT_THAT(
      svg,
      HasSubstr("class=\"line s0\" data-name=\"training\" data-x=\"0,10,20\" data-y=\"5,4,3\" d=\"M68.0 "));
  EXPECT_THAT(svg, HasSubstr("<circle class=\"s1\""));
  EXPECT_THAT(svg, HasSubstr("step 20: 3.5"));
  EXPECT_THAT(svg, HasSubstr("key s1\">validation"));
  EXPECT_THAT(svg, HasSubstr(">nats</text>"));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
}

TEST(Chart, GapsAreNotBridged) {
  const std::string svg =
      render({.title = "t", .x_label = "x", .y_label = "y", .series = {{"a", {{0, 1}, {1, nan}, {2, 3}}}}});
  const auto begin = svg.find(" d=\"M", svg.find("line s0"));
  const std::string path = svg.substr(begin, svg.find('"', begin + 5) - begin);
  EXPECT_EQ(std::count(path.begin(), path.end(), 'M'), 2) << path;
  EXPECT_EQ(std::count(path.begin(), path.end(), 'L'), 0) << path;
}

TEST(Chart, NothingToDrawIsNoChart) {
  EXPECT_EQ(render({.title = "t", .x_label = "x", .y_label = "y", .series = {}}), "");
  EXPECT_EQ(render({.title = "t", .x_label = "x", .y_label = "y", .series = {{"a", {{0, nan}}}}}), "");
  EXPECT_EQ(
      render({.title = "t", .x_label = "x", .y_label = "y", .log_y = true, .series = {{"a", {{0, -1}}}}}),
      "");
}

TEST(Chart, OnePointAndConstantsHaveAxesToo) {
  for (const double value : {0.0, 1.0, -3.0, 1e9}) {
    for (const bool log_y : {false, true}) {
      const std::string svg = render({.title = "t",
                                      .x_label = "x",
                                      .y_label = "y",
                                      .log_y = log_y,
                                      .series = {{"a", {{5, value}}, true}}});
      if (log_y && value <= 0) continue;
      EXPECT_THAT(svg, HasSubstr("<circle"));
      EXPECT_THAT(svg, Not(HasSubstr("nan")));
      EXPECT_THAT(svg, Not(HasSubstr("inf")));
    }
  }
}

TEST(Chart, LongSeriesStaySmallAndKeepTheirSpikes) {
  Series series{"a", {}};
  for (int i = 0; i < 300000; ++i) series.points.emplace_back(i, std::sin(i * 1e-4));
  series.points[123456].second = 50;
  series.points[200001].second = -70;
  series.points[250000].second = nan;
  const std::string svg = render({.title = "t", .x_label = "x", .y_label = "y", .series = {series}});
  EXPECT_LT(svg.size(), 40000u);
  EXPECT_THAT(svg, HasSubstr(",50,"));
  EXPECT_THAT(svg, HasSubstr(",-70,"));
  EXPECT_THAT(svg, HasSubstr(",nan,"));
}

TEST(Chart, ThinningKeepsExtremesGapsAndOrder) {
  EXPECT_TRUE(rc::check("least, greatest, first and last point survive; a gap stays a gap", [] {
    const auto values = *rc::gen::container<std::vector<int>>(rc::gen::inRange(-50, 50));
    const auto buckets = static_cast<std::size_t>(*rc::gen::inRange(1, 20));
    Points points;
    for (std::size_t i = 0; i < values.size(); ++i)
      points.emplace_back(static_cast<double>(i), values[i] == 7 ? nan : values[i]);
    const Points thin = thinned(points, buckets);
    RC_ASSERT(thin.size() <= std::max(2 * buckets, 3 * buckets + 1));
    const auto extremes = [](const Points& all) {
      double least = INFINITY, most = -INFINITY;
      bool gap = false;
      for (const auto& [x, y] : all) {
        gap = gap || std::isnan(y);
        least = std::fmin(least, y);
        most = std::fmax(most, y);
      }
      return std::tuple(least, most, gap);
    };
    RC_ASSERT(extremes(thin) == extremes(points));
    for (std::size_t i = 1; i < thin.size(); ++i) RC_ASSERT(thin[i - 1].first < thin[i].first);
    if (!points.empty()) RC_ASSERT(thin.back().first == points.back().first);
  }));
}

TEST(Chart, NumbersOfAnySizeGiveAFiniteDrawing) {
  for (const bool log_y : {false, true}) {
    for (const auto& values : std::vector<std::vector<double>>{{1e18, 1e18 + 1024},
                                                               {1e16, 1e16 + 2},
                                                               {1e-300, 1e300},
                                                               {-1e308, 1e308, 1},
                                                               {1e-30, 1e30, INFINITY},
                                                               {5e-324, 1}}) {
      Series series{"a", {}};
      for (const double value : values)
        series.points.emplace_back(static_cast<double>(series.points.size()) * 1e15, value);
      const std::string svg =
          render({.title = "t", .x_label = "x", .y_label = "y", .log_y = log_y, .series = {series}});
      EXPECT_LT(svg.size(), 5000u);
      EXPECT_THAT(svg, Not(HasSubstr("inf")));
      EXPECT_THAT(svg, Not(HasSubstr("Mnan")));
    }
  }
}

TEST(Chart, LogarithmicXNeedsNoZero) {
  const std::string svg = render({.title = "t",
                                  .x_label = "n",
                                  .y_label = "y",
                                  .log_x = true,
                                  .log_y = true,
                                  .series = {{"a", {{10, 1}, {100, 10}, {1000, 100}}}}});
  EXPECT_THAT(svg, HasSubstr("data-log-x=\"1\" data-range=\"10,1000,68,416\""));
  EXPECT_THAT(svg, HasSubstr("d=\"M68.0 "));
  EXPECT_THAT(svg, HasSubstr("L242.0 "));  // the geometric middle
}

TEST(Chart, MarksAndManySeries) {
  Chart chart{.title = "t", .x_label = "step", .y_label = "y"};
  for (int i = 0; i < 10; ++i) chart.series.push_back({"run " + std::to_string(i), {{0, i}, {10, i + 1}}});
  chart.marks = {{5, "resumed <here>"}, {50, "beyond"}};
  const std::string svg = render(chart);
  EXPECT_THAT(svg, HasSubstr("<path class=\"mark\" d=\"M242.0 12V222\"><title>resumed &lt;here&gt;</title>"));
  EXPECT_THAT(svg, Not(HasSubstr("beyond")));
  EXPECT_THAT(svg, HasSubstr("class=\"line s1\""));
  EXPECT_THAT(svg, HasSubstr("class=\"line s1 again\" data-name=\"run 9\" data-x=\"0,10\" data-y=\"9,10\""));
}

}  // namespace
}  // namespace ecp
