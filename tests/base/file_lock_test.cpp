#include "ecp/base/file_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>

#include <optional>
#include <utility>

#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"

namespace ecp {
namespace {

using test::error_of;
using ::testing::HasSubstr;

TEST(FileLock, HoldsUntilItsOwnerEnds) {
  const test::TemporaryFolder folder;
  const Path path = folder / ".lock";
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const FileLock lock(path, "run 'x'");
    char c = 'x';
    if (::write(ready[1], &c, 1) == 1) ::pause();  // until it is killed
    ::_exit(1);
  }
  char c = 0;
  ASSERT_EQ(::read(ready[0], &c, 1), 1);
  EXPECT_EQ(error_of([&] { FileLock(path, "run 'x'"); }),
            fmt::format("run 'x' is in use by another process (number {})", child));
  ::kill(child, SIGKILL);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_EQ(error_of([&] { FileLock(path, "run 'x'"); }), "");
}

TEST(FileLock, Moves) {
  const test::TemporaryFolder folder;
  std::optional<FileLock> first(std::in_place, folder / ".lock", "it");
  {
    const FileLock second(std::move(*first));
    first.reset();
    EXPECT_THAT(error_of([&] { FileLock(folder / ".lock", "it"); }), HasSubstr("in use"));
  }
  EXPECT_EQ(error_of([&] { FileLock(folder / ".lock", "it"); }), "");
  EXPECT_THAT(error_of([&] { FileLock(folder / "missing/.lock", "it"); }), HasSubstr("cannot lock it"));
}

}  // namespace
}  // namespace ecp
