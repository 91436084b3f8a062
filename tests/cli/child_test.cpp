#include "ecp/cli/child.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <string>

#include "ecp/base/interrupt.h"
#include "tests/support/errors.h"

namespace ecp::cli {
namespace {

using test::error_of;
using ::testing::HasSubstr;

Child shell(const std::string& script, double seconds = 60) {
  return run_child("/bin/sh", {"-c", script}, seconds);
}

TEST(Child, OutputErrorsAndCode) {
  const Child child = shell("echo out; echo err >&2; read line; echo \"got '$line'\"; exit 7");
  EXPECT_EQ(child.output, "out\ngot ''\n") << "its input is empty";
  EXPECT_EQ(child.errors, "err\n");
  EXPECT_EQ(child.code, 7);
  EXPECT_FALSE(child.timed_out);
}

TEST(Child, MoreOutputThanAPipeHolds) {
  const Child child =
      shell("i=0; while [ $i -lt 20000 ]; do echo 0123456789; echo 0123456789 >&2; i=$((i+1)); done");
  EXPECT_EQ(child.code, 0);
  EXPECT_EQ(child.output.size(), 220000u);
  EXPECT_EQ(child.errors.size(), 220000u);
}

TEST(Child, SignalsAndTime) {
  EXPECT_EQ(shell("kill -SEGV $$").code, 128 + SIGSEGV);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(shell("exec sleep 100", 0.2).timed_out);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(50));
}

TEST(Child, EndsWithAnInterrupt) {
  const StopRequests guard;
  std::raise(SIGINT);
  EXPECT_THROW(shell("exec sleep 100"), Interrupted);
}

TEST(Child, SaysWhatCannotBeRun) {
  EXPECT_THAT(error_of([] { run_child("/nowhere/program", {}, 1); }),
              HasSubstr("cannot run '/nowhere/program': No such file or directory"));
}

}  // namespace
}  // namespace ecp::cli
