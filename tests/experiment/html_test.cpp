#include "ecp/experiment/html.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace ecp {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

TEST(Html, EscapesWhatHtmlWouldRead) {
  EXPECT_EQ(escape_html("<script a=\"b\" c='d'>&"), "&lt;script a=&quot;b&quot; c=&#39;d&#39;&gt;&amp;");
  EXPECT_EQ(escape_html("Chloé\n\tline"), "Chloé\n\tline");
  EXPECT_EQ(escape_html(std::string_view("a\0b\x1b[1m\x7f", 8)), "a b [1m ");
}

TEST(Html, NumbersAreGrouped) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(87087940), "87,087,940");
  EXPECT_EQ(grouped(-123456), "-123,456");
  EXPECT_EQ(decimal(1234.567, 2), "1,234.57");
  EXPECT_EQ(decimal(nan, 2), "–");
  EXPECT_EQ(decimal(std::numeric_limits<double>::infinity(), 2), "inf");
  EXPECT_EQ(decimal(1e300, 2), "1e+300");
}

TEST(Html, TimesAndShortNumbers) {
  EXPECT_EQ(duration(45.2), "45 s");
  EXPECT_EQ(duration(200), "3 min 20 s");
  EXPECT_EQ(duration(7500), "2 h 05 min");
  EXPECT_EQ(duration(nan), "–");
  EXPECT_EQ(duration(-1), "–");
  EXPECT_EQ(short_number(3738368), "3.738M");
  EXPECT_EQ(short_number(20000), "20k");
  EXPECT_EQ(short_number(1e13), "10T");
  EXPECT_EQ(short_number(0.25), "0.25");
  EXPECT_EQ(short_number(5e-4), "5e-4");
  EXPECT_EQ(short_number(1e-3), "0.001");
  EXPECT_EQ(short_number(-2.5e-8), "-2.5e-8");
  EXPECT_EQ(short_number(nan), "–");
}

}  // namespace
}  // namespace ecp
