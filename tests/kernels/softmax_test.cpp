// Exponentials and their sums, and the largest value, against plain float64 code.
#include "ecp/kernels/softmax.h"

#include <algorithm>
#include <limits>

#include "kernel_test.h"

namespace ecp::kernels {
namespace {

using Softmax = Kernel;
ECP_FOR_EACH_ISA(Softmax);

constexpr float guard = 12345.0f;  // stands behind every output and must stay

std::vector<std::int64_t> lengths() {
  std::vector<std::int64_t> all = odd_lengths;
  for (const std::int64_t more :
       {exponentials_block - 1, exponentials_block, exponentials_block + 1, 3 * exponentials_block + 5}) {
    all.push_back(more);
  }
  return all;
}

TEST_P(Softmax, LargestIsTheLargest) {
  for (const std::int64_t count : lengths()) {
    auto x = random_values(count, 1);
    for (float& value : x) value -= 3;  // all negative
    EXPECT_EQ(largest(x.data(), count), *std::max_element(x.begin(), x.end())) << count;
    for (const float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                            std::numeric_limits<float>::quiet_NaN()}) {
      for (const std::int64_t at : {std::int64_t{0}, count / 2, count - 1}) {
        auto damaged = x;
        damaged[static_cast<std::size_t>(at)] = bad;
        EXPECT_TRUE(std::isnan(largest(damaged.data(), count))) << bad << " at " << at << " of " << count;
      }
    }
  }
  EXPECT_TRUE(std::isnan(largest(nullptr, 0)));
}

TEST_P(Softmax, ExponentialsAreThoseInDouble) {
  for (const float temperature : {0.01f, 1.0f, 50.0f}) {
    for (const std::int64_t count : lengths()) {
      auto x = random_values(count, 2);
      for (float& value : x) value *= 10;
      const float highest = *std::max_element(x.begin(), x.end());
      std::vector<float> out(static_cast<std::size_t>(count) + 1, guard);
      std::vector<double> sums(static_cast<std::size_t>((count - 1) / exponentials_block + 1)), again = sums;
      exponentials(x.data(), count, highest, temperature, out.data(), sums.data());
      exponentials(x.data(), count, highest, temperature, nullptr, again.data());
      EXPECT_EQ(sums, again);
      EXPECT_EQ(out.back(), guard);
      std::vector<double> expected(sums.size(), 0);
      for (std::size_t i = 0; i + 1 < out.size(); ++i) {
        const double exponent = static_cast<double>((x[i] - highest) / temperature);
        const double power = exponent < -87 ? 0 : std::exp(exponent);
        EXPECT_NEAR(out[i], power, power * 1e-6) << exponent;
        expected[i / static_cast<std::size_t>(exponentials_block)] += static_cast<double>(out[i]);
      }
      for (std::size_t b = 0; b < sums.size(); ++b) EXPECT_NEAR(sums[b], expected[b], expected[b] * 1e-12);
    }
  }
}

TEST_P(Softmax, ATemperatureOfAlmostNothingLeavesTheLargest) {
  const std::vector<float> x = {1, 3, 2.999f, 3};
  std::vector<float> out(4);
  double sum = 0;
  for (const float temperature : {1e-30f, 1e-40f}) {
    exponentials(x.data(), 4, 3, temperature, out.data(), &sum);
    EXPECT_EQ(out, (std::vector<float>{0, 1, 0, 1}));
    EXPECT_EQ(sum, 2);
  }
}

}  // namespace
}  // namespace ecp::kernels
