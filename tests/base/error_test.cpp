#include "ecp/base/error.h"

#include <gtest/gtest.h>

namespace ecp {
namespace {

TEST(Error, IsOneLineWhateverItQuotes) {
  EXPECT_EQ(printable("tensor 'é'"), "tensor 'é'");
  EXPECT_EQ(printable(std::string("a\nb\x1b[31m\0", 9)), "a\\nb\\x1b[31m\\x00");
  try {
    fail("unknown key '{}'", "a\r\nb");
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "unknown key 'a\\x0d\\nb'");
  }
}

}  // namespace
}  // namespace ecp
