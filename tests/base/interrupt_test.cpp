#include "ecp/base/interrupt.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace ecp {
namespace {

TEST(StopRequests, AreNotedOnceAndForgotten) {
  EXPECT_EQ(stop_requested(), 0);
  {
    const StopRequests requests;
    EXPECT_NO_THROW(check_interrupt());
    std::raise(SIGTERM);
    EXPECT_EQ(stop_requested(), SIGTERM);
    try {
      check_interrupt();
      ADD_FAILURE() << "expected Interrupted";
    } catch (const Interrupted& error) {
      EXPECT_EQ(error.signal(), SIGTERM);
      EXPECT_STREQ(error.what(), "interrupted by SIGTERM");
    }
    EXPECT_THROW(StopRequests(), Error);
  }
  EXPECT_EQ(stop_requested(), 0);
}

TEST(StopRequests, TheSecondEndsTheProcess) {
  for (const auto& [first, second] : {std::pair(SIGINT, SIGINT), std::pair(SIGTERM, SIGINT)}) {
    const pid_t child = ::fork();
    if (child == 0) {
      const StopRequests requests;
      std::raise(first);
      std::raise(second);
      ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    EXPECT_EQ(WTERMSIG(status), second);
  }
}

}  // namespace
}  // namespace ecp
