#include "ecp/cli/terminal.h"

#include <gtest/gtest.h>

namespace ecp::cli {
namespace {

TEST(Terminal, BytesHaveUnitsOfThousands) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(999), "999 B");
  EXPECT_EQ(format_bytes(1000), "1.00 kB");
  EXPECT_EQ(format_bytes(1234567), "1.23 MB");
  EXPECT_EQ(format_bytes(45600000000), "45.6 GB");
  EXPECT_EQ(format_bytes(999999), "1.00 MB") << "no 1000 kB";
  EXPECT_EQ(format_bytes(UINT64_MAX), "18446744 TB");
}

TEST(Terminal, CountsAreShort) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(312), "312");
  EXPECT_EQ(format_count(8500), "8.50k");
  EXPECT_EQ(format_count(123456), "123k");
  EXPECT_EQ(format_count(87087940), "87.1M");
}

TEST(Terminal, SecondsReadAsPeopleSayThem) {
  EXPECT_EQ(format_seconds(0), "0s");
  EXPECT_EQ(format_seconds(45.4), "45s");
  EXPECT_EQ(format_seconds(59.6), "1m 00s");
  EXPECT_EQ(format_seconds(200), "3m 20s");
  EXPECT_EQ(format_seconds(3840), "1h 04m");
  EXPECT_EQ(format_seconds(-5), "0s");
}

TEST(Terminal, TablesAlign) {
  EXPECT_EQ(
      format_table({{"model", "bits", "note"}, {"ecp", "1.75", "five minutes"}, {"bigram of é", "12.9", ""}}),
      "model        bits  note\n"
      "-------------------------------\n"
      "ecp          1.75  five minutes\n"
      "bigram of é  12.9\n");
  EXPECT_EQ(format_table({{"only", "a header"}}), "only  a header\n--------------\n");
  EXPECT_EQ(format_table({}), "");
}

TEST(Terminal, TablesTakeRowsOfDifferentLengths) {
  EXPECT_EQ(format_table({{"a"}, {"b", "-1"}, {"c", "-"}}), "a\n-----\nb  -1\nc   -\n");
}

}  // namespace
}  // namespace ecp::cli
