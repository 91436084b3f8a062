// oneDNN's product, and the choice of an instruction set by ECP_CPU_ISA: it holds for a whole process, so
// each one is tried in a child that runs the test of the product.
#include "ecp/kernels/matmul.h"

#include <omp.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "ecp/base/error.h"
#include "kernel_test.h"
#include "weight_fixture.h"

namespace ecp::kernels {
namespace {

std::vector<std::pair<std::int64_t, WeightType>> cases() {
  std::vector<std::pair<std::int64_t, WeightType>> all;
  for (const std::int64_t rows : {1, 2, 7, 64, 65, 131}) {
    for (const WeightType type : weight_types) all.emplace_back(rows, type);
  }
  return all;
}

TEST(MatMulTest, EqualsTheSumInDouble) {
  ThreadPool pool(2);
  for (const auto& [rows, type] : cases()) {
    for (const auto& [out, in] :
         {std::pair<std::int64_t, std::int64_t>{1, 3}, {17, 33}, {256, 64}, {300, 50}, {513, 8}}) {
      for (const bool accumulate : {false, true}) {
        const std::int64_t x_stride = in + 3, y_stride = out + 2;
        const StoredWeight weight(type, out, in, 61);
        const auto x = random_values(rows * x_stride, 60), bias = random_values(out, 62);
        auto y = random_values(rows * y_stride, 63);
        const auto before = y;
        const float* used_bias = rows % 2 == 0 ? nullptr : bias.data();
        matmul({x.data(), weight.matrix, used_bias, y.data(), rows, out, x_stride, y_stride, accumulate},
               pool);
        for (std::int64_t r = 0; r < rows; ++r) {
          for (std::int64_t o = 0; o < y_stride; ++o) {
            const auto at = static_cast<std::size_t>(r * y_stride + o);
            if (o >= out) {
              ASSERT_EQ(y[at], before[at]) << "between the rows";
              continue;
            }
            double sum = used_bias != nullptr ? bias[static_cast<std::size_t>(o)] : 0;
            if (accumulate) sum += before[at];
            for (std::int64_t i = 0; i < in; ++i) {
              sum += static_cast<double>(x[static_cast<std::size_t>(r * x_stride + i)]) *
                     weight.values[static_cast<std::size_t>(o * in + i)];
            }
            ASSERT_NEAR(y[at], sum, 1e-5) << rows << " x " << out << " x " << in << " at " << r << ", " << o;
          }
        }
      }
    }
  }
}

TEST(MatMulTest, IsTheSameForAnyNumberOfThreadsAndLeavesOpenMPAlone) {
  const std::int64_t rows = 150, out = 700, in = 96;
  const auto x = random_values(rows * in, 64);
  omp_set_num_threads(3);
  for (const WeightType type : weight_types) {
    const StoredWeight weight(type, out, in, 65);
    std::vector<float> first;
    for (const int threads : {1, 2, 3, 5}) {
      ThreadPool pool(threads);
      std::vector<float> y(static_cast<std::size_t>(rows * out));
      matmul({x.data(), weight.matrix, nullptr, y.data(), rows, out, in, out, false}, pool);
      if (first.empty()) first = y;
      EXPECT_EQ(y, first) << threads << " threads";
    }
  }
  EXPECT_EQ(omp_get_max_threads(), 3);
}

TEST(IsaTest, IsTheBestOfThisMachineUnlessForced) {
  if (std::getenv("ECP_CPU_ISA") != nullptr) {
    EXPECT_TRUE(isa_forced());
    EXPECT_EQ(name_of(isa()), std::getenv("ECP_CPU_ISA"));
    return;
  }
  EXPECT_FALSE(isa_forced());
  for (const Isa other : all_isas) EXPECT_TRUE(!supported(other) || other <= isa());
}

struct Child {
  int status;
  std::string output;
};

/// This test program again, with ECP_CPU_ISA set; the kernels' tests in it, as the machine would choose.
Child run_with(const std::string& wanted) {
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
  const std::string command =
      "ECP_CPU_ISA='" + wanted + "' '" + program + "' --gtest_filter='MatMulTest.*:IsaTest.IsTheBest*' 2>&1";
  std::FILE* pipe = ::popen(command.c_str(), "r");
  Child child{-1, ""};
  if (pipe == nullptr) return child;
  std::array<char, 4096> buffer;
  for (std::size_t got; (got = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
    child.output.append(buffer.data(), got);
  child.status = ::pclose(pipe);
  return child;
}

TEST(IsaTest, EachInstructionSetCanBeForcedOrFailsLoudly) {
  for (const Isa wanted : all_isas) {
    const Child child = run_with(std::string(name_of(wanted)));
    if (supported(wanted)) {
      EXPECT_EQ(child.status, 0) << name_of(wanted) << "\n" << child.output;
    } else {
      EXPECT_NE(child.status, 0) << name_of(wanted);
      EXPECT_THAT(child.output, testing::HasSubstr("can't run it"));
    }
  }
  const Child unknown = run_with("avx1024");
  EXPECT_NE(unknown.status, 0);
  EXPECT_THAT(
      unknown.output,
      testing::HasSubstr("expected one of baseline, avx2, avx512, avx512_bf16, amx_bf16; got 'avx1024'"));
}

}  // namespace
}  // namespace ecp::kernels
