#include "ecp/machine/machine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "ecp/base/system.h"
#include "tests/support/temporary_folder.h"

namespace ecp {
namespace {

using test::TemporaryFolder;

TEST(Machine, DescribesThisOne) {
  const TemporaryFolder folder;
  const Machine machine = describe_machine(folder.path());
  EXPECT_EQ(machine.cpus_available, available_cpus());
  EXPECT_GE(machine.cpus_online, 1);
  EXPECT_GT(machine.memory_total, machine.memory_free);
  EXPECT_FALSE(machine.onednn.empty() || machine.sentencepiece.empty() || machine.highway.empty());
  EXPECT_NE(machine.compiler.find_first_of("0123456789"), std::string::npos);
  EXPECT_FALSE(machine.kernels.empty());
  EXPECT_TRUE(machine.folder.writable);
  EXPECT_TRUE(machine.folder.free);
  EXPECT_TRUE(folder.names().empty()) << "looking leaves nothing";
}

TEST(Machine, ChosenWords) {
  EXPECT_EQ(chosen_word("always [madvise] never"), "madvise");
  EXPECT_EQ(chosen_word("[always] madvise never"), "always");
  EXPECT_EQ(chosen_word(""), "");
  EXPECT_EQ(chosen_word("]["), "");
}

}  // namespace
}  // namespace ecp
