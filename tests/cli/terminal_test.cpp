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

TEST(Terminal, HarmlessTextCommandsNothing) {
  EXPECT_EQ(harmless("plain é 日 👩 \u00A0text"), "plain é 日 👩 \u00A0text");
  EXPECT_EQ(harmless("\x1b[31mred\x07\t\n\r\x7f"), "\\x1b[31mred\\x07\\x09\\x0a\\x0d\\x7f");
  EXPECT_EQ(harmless("a\\b"), "a\\\\b");
  EXPECT_EQ(harmless("\xC2\x9B"), "\\xc2\\x9b") << "a control sequence begins with it, too";
  EXPECT_EQ(harmless("\u202Eright"), "\\xe2\\x80\\xaeright");
  EXPECT_EQ(harmless("\xFF\xE2\x82"), "\\xff\\xe2\\x82");
  EXPECT_EQ(harmless("\xE2\x82 x"), "\\xe2\\x82 x");
  EXPECT_EQ(harmless(std::string(1, '\0')), "\\x00");
  EXPECT_EQ(harmless(""), "");
}

}  // namespace
}  // namespace ecp::cli
