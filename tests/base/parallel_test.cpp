#include "ecp/base/parallel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "ecp/base/error.h"

namespace ecp {
namespace {

TEST(ThreadPoolTest, DoesEachPartOnce) {
  for (const int threads : {1, 2, 3, 7}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (const std::int64_t parts : {0, 1, 2, 3, 8, 100}) {
      std::vector<int> done(static_cast<std::size_t>(parts));
      pool.run(parts, [&](std::int64_t part) { ++done[static_cast<std::size_t>(part)]; });
      EXPECT_EQ(done, std::vector<int>(static_cast<std::size_t>(parts), 1));
    }
  }
}

TEST(ThreadPoolTest, ManyShortJobsInARow) {
  ThreadPool pool(3);
  std::vector<std::int64_t> sums(3);
  for (int i = 0; i < 2000; ++i)
    pool.run(3, [&](std::int64_t part) { sums[static_cast<std::size_t>(part)] += part + 1; });
  EXPECT_EQ(sums, (std::vector<std::int64_t>{2000, 4000, 6000}));
}

TEST(ThreadPoolTest, RethrowsAndGoesOn) {
  ThreadPool pool(2);
  const auto work = [](std::int64_t part) { require(part % 2 == 0, "part {}", part); };
  EXPECT_THAT([&] { pool.run(2, work); }, testing::ThrowsMessage<Error>("part 1"));
  EXPECT_THAT([&] { pool.run(8, work); }, testing::ThrowsMessage<Error>("part 1"));  // of several the lowest
  int done = 0;
  pool.run(1, [&](std::int64_t) { ++done; });
  EXPECT_EQ(done, 1);
}

TEST(ThreadPoolTest, NestedAndConcurrentCallersHelpThemselves) {
  ThreadPool pool(2);
  std::atomic<int> done = 0;
  pool.run(2, [&](std::int64_t) { pool.run(3, [&](std::int64_t) { ++done; }); });
  EXPECT_EQ(done, 6);
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 3; ++caller) {
    callers.emplace_back([&] {
      for (int i = 0; i < 200; ++i) pool.run(4, [&](std::int64_t) { ++done; });
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(done, 6 + 3 * 200 * 4);
}

TEST(ThreadPoolTest, RefusesAbsurdNumbers) {
  EXPECT_THROW(ThreadPool(-1), Error);
  EXPECT_THROW(ThreadPool(1025), Error);
  EXPECT_GE(ThreadPool(0).threads(), 1);
}

TEST(ShareTest, SharesCoverEverythingOnce) {
  for (const std::int64_t total : {0, 1, 5, 64, 1000}) {
    for (const std::int64_t parts : {1, 2, 3, 7}) {
      for (const std::int64_t multiple : {1, 4, 16}) {
        std::int64_t at = 0;
        for (std::int64_t part = 0; part < parts; ++part) {
          const Share share = share_of(total, parts, part, multiple);
          EXPECT_EQ(share.begin, at);
          EXPECT_GE(share.end, share.begin);
          EXPECT_TRUE(share.end == total || share.end % multiple == 0);
          at = share.end;
        }
        EXPECT_EQ(at, total);
      }
    }
  }
}

}  // namespace
}  // namespace ecp
