#include "ecp/eval/score_windows.h"

#include <gtest/gtest.h>

#include <rapidcheck/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/support/errors.h"

namespace ecp {
namespace {

/// How often each target of a text is counted, with the least context that its rows have.
struct Scored {
  std::vector<int> times;
  std::vector<std::int64_t> context;
};

Scored run(const ScoreWindows& windows, std::uint64_t length) {
  Scored scored{std::vector<int>(length, 0), std::vector<std::int64_t>(length, INT64_MAX)};
  for (std::uint64_t i = 0; i < windows.count(); ++i) {
    const ScoreWindow window = windows.at(i);
    for (std::int64_t row = window.first; row < window.rows; ++row) {
      const std::uint64_t target = window.begin + static_cast<std::uint64_t>(row) + 1;
      ++scored.times.at(target);
      scored.context[target] = std::min(scored.context[target], row + 1);
    }
  }
  return scored;
}

RC_GTEST_PROP(ScoreWindows, StandardCountsEachTargetOnceWithItsContext, ()) {
  const auto length = *rc::gen::inRange<std::uint64_t>(0, 300);
  const auto window = *rc::gen::inRange<std::int64_t>(1, 70);
  const auto context = *rc::gen::inRange<std::int64_t>(0, window);
  const auto rows = *rc::gen::inRange<std::int64_t>(0, window + 1);  // 0: all
  const ScoreWindows windows(length, window, context, Protocol::standard, rows);
  const Scored scored = run(windows, length);
  for (std::uint64_t target = 1; target < length; ++target) {
    RC_ASSERT(scored.times[target] == 1);
    RC_ASSERT(scored.context[target] >= std::min<std::int64_t>(context, static_cast<std::int64_t>(target)));
  }
  RC_ASSERT(windows.scored() == (length > 0 ? length - 1 : 0));
  for (std::uint64_t i = 0; i < windows.count(); ++i) {
    RC_ASSERT(windows.at(i).rows <= window);
    RC_ASSERT(windows.at(i).first < windows.at(i).rows);
    RC_ASSERT(rows == 0 || windows.at(i).rows - windows.at(i).first <= rows);
    const auto end = (rows == 0 ? window : rows) +
                     static_cast<std::int64_t>(i) * std::min(window - context, rows == 0 ? window : rows);
    RC_ASSERT(i + 1 == windows.count() || windows.at(i).rows == std::min(window, end));
  }
}

RC_GTEST_PROP(ScoreWindows, AuthorsCountWholeWindowsWithHalfTheirStride, ()) {
  const auto length = *rc::gen::inRange<std::uint64_t>(2, 300);
  const auto window = *rc::gen::inRange<std::int64_t>(1, 70);
  const ScoreWindows windows(length, window, 0, Protocol::authors);
  const auto n = static_cast<std::uint64_t>(window);
  const std::uint64_t stride = std::max<std::uint64_t>(1, n / 2);
  std::uint64_t rows = 0;
  for (std::uint64_t i = 0; i < windows.count(); ++i) {
    RC_ASSERT(
        (windows.at(i) == ScoreWindow{i * stride, static_cast<std::int64_t>(std::min(n, length - 1)), 0}));
    rows += static_cast<std::uint64_t>(windows.at(i).rows);
  }
  RC_ASSERT(windows.scored() == rows);
  RC_ASSERT(windows.count() >= 1);
  const std::uint64_t end = (windows.count() - 1) * stride + std::min(n, length - 1);
  RC_ASSERT(end <= length - 1);
  RC_ASSERT(length - 1 - end < stride);
}

TEST(ScoreWindows, DisjointWindowsWithoutContext) {
  const ScoreWindows windows(204801, 1024, 0, Protocol::standard);
  EXPECT_EQ(windows.count(), 200U);
  EXPECT_EQ(windows.at(199), (ScoreWindow{199 * 1024, 1024, 0}));
  EXPECT_EQ(windows.scored(), 204800U);
}

TEST(ScoreWindows, TheLastWindowMayBeShort) {
  const ScoreWindows windows(14, 8, 4, Protocol::standard);  // targets 1 … 13
  EXPECT_EQ(windows.count(), 3U);
  EXPECT_EQ(windows.at(0), (ScoreWindow{0, 8, 0}));
  EXPECT_EQ(windows.at(1), (ScoreWindow{4, 8, 4}));
  EXPECT_EQ(windows.at(2), (ScoreWindow{8, 5, 4}));
}

TEST(ScoreWindows, WindowsGrowWhereOnlyTheLastRowsCount) {
  const ScoreWindows windows(16, 8, 2, Protocol::standard, 3);  // targets 1 … 15
  EXPECT_EQ(windows.count(), 5U);
  EXPECT_EQ(windows.at(0), (ScoreWindow{0, 3, 0}));
  EXPECT_EQ(windows.at(1), (ScoreWindow{0, 6, 3}));
  EXPECT_EQ(windows.at(2), (ScoreWindow{1, 8, 5}));
  EXPECT_EQ(windows.at(4), (ScoreWindow{7, 8, 5}));
  const ScoreWindows authors(18, 8, 0, Protocol::authors, 3);  // targets 1 … 17
  EXPECT_EQ(authors.count(), 3U);
  EXPECT_EQ(authors.at(2), (ScoreWindow{8, 8, 5}));
  EXPECT_EQ(authors.scored(), 9U);
}

TEST(ScoreWindows, ChecksItsArguments) {
  EXPECT_EQ(test::error_of([] { ScoreWindows(10, 8, 0, Protocol::standard, 9); }),
            "scored rows: expected 0 to 8 (the window), got 9");
  EXPECT_EQ(test::error_of([] { ScoreWindows(10, 0, 0, Protocol::standard); }),
            "window: expected at least 1 token, got 0");
  EXPECT_EQ(test::error_of([] { ScoreWindows(10, 8, 8, Protocol::standard); }),
            "context: expected 0 to 7 (less than the window), got 8");
  EXPECT_EQ(test::error_of([] { ScoreWindows(10, 8, -1, Protocol::standard); }),
            "context: expected 0 to 7 (less than the window), got -1");
  EXPECT_EQ(test::error_of([] { parse_protocol("author"); }),
            "protocol: expected standard or authors, got 'author'");
}

}  // namespace
}  // namespace ecp
