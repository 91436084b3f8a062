#include "ecp/machine/rates.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdint>
#include <string_view>

#include "ecp/base/interrupt.h"
#include "tests/support/temporary_folder.h"

namespace ecp {
namespace {

using test::TemporaryFolder;

// Nothing here says how fast a machine must be.

TEST(Rates, AreMeasuredAndLeaveNothing) {
  const TemporaryFolder folder;
  int parts = 0;
  const Rates rates = measure_rates(2, folder.path(), [&](std::string_view) { ++parts; });
  EXPECT_EQ(parts, 4);
  EXPECT_EQ(rates.threads, 2);
  EXPECT_GT(rates.gemm_float32.one, 0);
  EXPECT_GT(rates.gemm_float32.all, 0);
  EXPECT_GT(rates.memory_read.one, 0);
  EXPECT_GT(rates.memory_read.all, 0);
  EXPECT_GE(rates.memory_bytes, std::uint64_t{64} << 20);
  if (rates.disk) {
    EXPECT_GT(rates.disk->write, 0);
    EXPECT_GT(rates.disk->sync_seconds, 0);
  }
  EXPECT_TRUE(folder.names().empty());
}

TEST(Rates, StopWhenAsked) {
  const TemporaryFolder folder;
  const StopRequests guard;
  std::raise(SIGTERM);
  EXPECT_THROW(measure_rates(1, folder.path()), Interrupted);
  EXPECT_TRUE(folder.names().empty());
}

}  // namespace
}  // namespace ecp
