#include "ecp/cli/child.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <string>
#include <thread>

#include "ecp/base/interrupt.h"
#include "ecp/base/last_line.h"
#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"

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

/// Waits for the end of `child`, at most a minute.
int code_of(LoggedChild& child) {
  for (int i = 0; i < 6000; ++i) {
    if (const auto code = child.ended()) return *code;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ADD_FAILURE() << "it still runs";
  return -1;
}

LoggedChild logged_shell(const std::string& script, const Path& log) {
  return {"/bin/sh", {"-c", script}, log};
}

TEST(LoggedChild, WritesIntoItsLog) {
  const test::TemporaryFolder folder;
  write_file(folder / "log", "before\n");
  LoggedChild child = logged_shell("echo out; echo err >&2; read line; exit 7", folder / "log");
  EXPECT_EQ(code_of(child), 7);
  EXPECT_EQ(child.ended(), 7) << "asked again";
  EXPECT_EQ(read_file(folder / "log"), "before\nout\nerr\n");
}

TEST(LoggedChild, IsAskedToStopOnce) {
  const test::TemporaryFolder folder;
  const std::string patient = "trap 'echo asked; exit 3' TERM; echo ready; while :; do sleep 0.01; done";
  LoggedChild child = logged_shell(patient, folder / "log");
  while (last_line(folder / "log") != "ready") std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(child.ended(), std::nullopt);
  child.ask_to_stop();
  child.ask_to_stop();
  EXPECT_EQ(code_of(child), 3);
  EXPECT_EQ(read_file(folder / "log"), "ready\nasked\n");

  LoggedChild other = logged_shell("exec sleep 60", folder / "log");
  other.ask_to_stop();
  EXPECT_EQ(code_of(other), 128 + SIGTERM) << "also while it starts";
}

TEST(LoggedChild, EndsWithItsOwner) {
  const test::TemporaryFolder folder;
  const auto begin = std::chrono::steady_clock::now();
  { const LoggedChild child = logged_shell("exec sleep 60", folder / "log"); }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
  EXPECT_THAT(error_of([&] { LoggedChild("/no/such/program", {}, folder / "log"); }),
              HasSubstr("cannot run '/no/such/program'"));
  EXPECT_THAT(error_of([&] { logged_shell("", folder / "no/log"); }), HasSubstr("cannot write"));
}

}  // namespace
}  // namespace ecp::cli
