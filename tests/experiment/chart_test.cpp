#include "ecp/experiment/chart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace ecp {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pointwise;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

TEST(Chart, EscapesWhatHtmlWouldRead) {
  EXPECT_EQ(escape_html("<script a=\"b\" c='d'>&"), "&lt;script a=&quot;b&quot; c=&#39;d&#39;&gt;&amp;");
  EXPECT_EQ(escape_html("Chloé\n\tline"), "Chloé\n\tline");
  EXPECT_EQ(escape_html(std::string_view("a\0b\x1b[1m\x7f", 8)), "a b [1m ");
}

TEST(Chart, NumbersAreGrouped) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(87087940), "87,087,940");
  EXPECT_EQ(grouped(-123456), "-123,456");
  EXPECT_EQ(decimal(1234.567, 2), "1,234.57");
  EXPECT_EQ(decimal(nan, 2), "–");
  EXPECT_EQ(decimal(std::numeric_limits<double>::infinity(), 2), "inf");
}

TEST(Chart, TicksAreRoundNumbers) {
  EXPECT_THAT(ticks(0, 10, 5), Pointwise(DoubleNear(1e-9), std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_THAT(ticks(1.7, 9.4, 5), Pointwise(DoubleNear(1e-9), std::vector<double>{2, 4, 6, 8}));
  EXPECT_THAT(ticks(0, 0.0012, 4), Pointwise(DoubleNear(1e-9), std::vector<double>{0, 0.0005, 0.001}));
  EXPECT_THAT(ticks(5, 5, 4), ElementsAre(5));
  EXPECT_THAT(log_ticks(9, 1200, 6),
              Pointwise(DoubleNear(1e-6), std::vector<double>{10, 30, 100, 300, 1000}));
  EXPECT_THAT(log_ticks(40, 48, 6), Pointwise(DoubleNear(1e-6), std::vector<double>{40, 42, 44, 46, 48}));
}

TEST(Chart, TicksStayInsideAndFew) {
  EXPECT_TRUE(rc::check("ticks are within the range and not more than asked, give or take one", [] {
    const double least = *rc::gen::inRange(-1000000, 1000000) / 997.0;
    const double size = *rc::gen::inRange(1, 1000000) / 991.0;
    const auto all = ticks(least, least + size, 6);
    RC_ASSERT(all.size() >= 2u && all.size() <= 8u);
    for (const double value : all)
      RC_ASSERT(value >= least - size * 1e-6 && value <= least + size * (1 + 1e-6));
  }));
}

TEST(Chart, DrawsEachSeriesWithAxes) {
  const std::string svg =
      render({.title = "Loss & more",
              .x_label = "step",
              .y_label = "nats",
              .series = {{"training", {{0, 5}, {10, 4}, {20, 3}}}, {"validation", {{20, 3.5}}, true}}});
  EXPECT_THAT(svg, HasSubstr("Loss &amp; more"));
  EXPECT_THAT(svg, HasSubstr("class=\"line s0\" d=\"M62.0 "));
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

TEST(Chart, LongSeriesStaySmall) {
  Series series{"a", {}};
  for (int i = 0; i < 100000; ++i) series.points.emplace_back(i, std::sin(i * 1e-4));
  const std::string svg = render({.title = "t", .x_label = "x", .y_label = "y", .series = {series}});
  EXPECT_LT(svg.size(), 20000u);
}

}  // namespace
}  // namespace ecp
