#include "ecp/base/last_line.h"

#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"

namespace ecp {
namespace {

TEST(LastLine, OfALog) {
  const test::TemporaryFolder folder;
  const Path log = folder / "log";
  EXPECT_EQ(last_line(log), "") << "there is no file";
  for (const auto& [text, last] : {std::pair{"", ""},
                                   {"\n\n", ""},
                                   {"one", "one"},
                                   {"one\ntwo\n", "two"},
                                   {"one\ntwo\n\n\n", "two"},
                                   {"one\n two", " two"}}) {
    write_file(log, text);
    EXPECT_EQ(last_line(log), last) << text;
  }
  write_file(log, std::string(10000, 'x') + "\n" + std::string(5000, 'y') + "\n");
  EXPECT_EQ(last_line(log), std::string(4095, 'y')) << "of a long one the end";
}

}  // namespace
}  // namespace ecp
