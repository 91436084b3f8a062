// Requests to stop while matrices are multiplied: oneDNN's generated kernels keep data in the stack pointer,
// so a handler that ran on the thread's own stack would write its frame over somebody's memory.
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <thread>
#include <vector>

#include "ecp/base/interrupt.h"
#include "ecp/base/random.h"
#include "ecp/ops/blas.h"

namespace ecp::ops {
namespace {

constexpr std::int64_t side = 384;

std::vector<float> numbers(std::uint64_t key) {
  std::vector<float> values(side * side);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(random_uniform(key, i));
  return values;
}

TEST(StopRequests, LeaveProductsOfMatricesAlone) {
  const std::vector<float> a = numbers(1), b = numbers(2);
  const auto product = [&] {
    std::vector<float> c(side * side);
    gemm(side, side, side, 1.0f, {a.data(), side}, {b.data(), side}, 0.0f, {c.data(), side});
    return c;
  };
  const std::vector<float> expected = product(), a_before = a, b_before = b;
  for (int i = 0; i < 300; ++i) {
    const StopRequests requests;
    std::thread sender([i] {
      std::this_thread::sleep_for(std::chrono::microseconds(37 * (i % 40)));
      ::kill(::getpid(), i % 2 == 0 ? SIGINT : SIGTERM);
    });
    while (stop_requested() == 0) ASSERT_EQ(product(), expected) << "request " << i;
    sender.join();
    ASSERT_TRUE(a == a_before && b == b_before) << "request " << i;
  }
}

}  // namespace
}  // namespace ecp::ops
