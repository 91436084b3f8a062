// Each kernel runs on every instruction set of this machine; the others are reported as skipped, by name.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "ecp/base/random.h"
#include "ecp/kernels/isa.h"

namespace ecp::kernels {

class Kernel : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (!supported(GetParam()))
      GTEST_SKIP() << "instruction set " << name_of(GetParam()) << ": not on this machine";
    use_isa_for_test(GetParam());
  }
  void TearDown() override { use_isa_for_test(isa()); }
};

inline constexpr Isa vector_isas[] = {Isa::baseline, Isa::avx2, Isa::avx512};

inline std::string isa_name(const testing::TestParamInfo<Isa>& info) {
  return std::string(name_of(info.param));
}

#define ECP_FOR_EACH_ISA(suite) \
  INSTANTIATE_TEST_SUITE_P(Isas, suite, testing::ValuesIn(vector_isas), isa_name)

/// Values in (−1, 1), a function of the seed.
inline std::vector<float> random_values(std::int64_t count, std::uint64_t seed) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(2 * random_uniform(seed, i) - 1);
  }
  return values;
}

/// Lengths around the vector widths, and some that are multiples of nothing.
inline const std::vector<std::int64_t> odd_lengths = {1,  2,  3,  4,  5,  7,  8,  9,   15, 16,
                                                      17, 31, 32, 33, 63, 64, 65, 100, 257};

}  // namespace ecp::kernels
