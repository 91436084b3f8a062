// Matrix products against the definition: every transposition, strides wider than the rows, odd sizes.
#include "ecp/ops/blas.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <oneapi/dnnl/dnnl.hpp>
#include <vector>

#include "ecp/base/random.h"

namespace ecp::ops {
namespace {

template <typename T>
struct Stored {
  std::vector<T> values;
  std::int64_t stride;
  bool transposed;

  /// rows × columns as seen by the product.
  Stored(std::int64_t rows, std::int64_t columns, bool is_transposed, std::int64_t padding, std::uint64_t key)
      : stride((is_transposed ? rows : columns) + padding), transposed(is_transposed) {
    values.resize(static_cast<std::size_t>((is_transposed ? columns : rows) * stride));
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<T>(2 * random_uniform(key, i) - 1);
  }
  [[nodiscard]] double at(std::int64_t row, std::int64_t column) const {
    return static_cast<double>(
        values[static_cast<std::size_t>(transposed ? column * stride + row : row * stride + column)]);
  }
  [[nodiscard]] Matrix<const T> matrix() const { return {values.data(), stride, transposed}; }
};

template <typename T>
void check(std::int64_t m, std::int64_t n, std::int64_t k, bool a_transposed, bool b_transposed, T beta,
           double tolerance) {
  SCOPED_TRACE(std::to_string(m) + " x " + std::to_string(n) + " x " + std::to_string(k) +
               (a_transposed ? " T" : " N") + (b_transposed ? "T" : "N"));
  const Stored<T> a(m, k, a_transposed, 3, 1), b(k, n, b_transposed, 5, 2);
  Stored<T> c(m, n, false, 2, 3);
  const Stored<T> before = c;
  if (beta == T{0}) c.values.assign(c.values.size(), static_cast<T>(NAN));  // must not be read
  gemm(m, n, k, static_cast<T>(0.5), a.matrix(), b.matrix(), beta, {c.values.data(), c.stride});
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      double want = beta == T{0} ? 0 : static_cast<double>(beta) * before.at(i, j);
      for (std::int64_t l = 0; l < k; ++l) want += 0.5 * a.at(i, l) * b.at(l, j);
      ASSERT_NEAR(c.at(i, j), want, tolerance) << i << ", " << j;
    }
  }
}

TEST(Gemm, AgreesWithTheDefinition) {
  for (const std::int64_t m : {1, 2, 17, 64}) {
    for (const std::int64_t n : {1, 3, 33, 203}) {
      for (const std::int64_t k : {1, 5, 64}) {
        for (const bool a : {false, true}) {
          for (const bool b : {false, true}) {
            check<float>(m, n, k, a, b, 0, 1e-5);
            check<float>(m, n, k, a, b, 1, 1e-5);
            check<double>(m, n, k, a, b, 0, 1e-13);
            check<double>(m, n, k, a, b, -2, 1e-13);
          }
        }
      }
    }
  }
  check<float>(300, 250, 1100, true, false, 1, 1e-4);
}

TEST(Gemm, RunsInsideParallelRegions) {
  at::parallel_for(0, 16, 1, [](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) check<float>(20 + i, 19, 31, false, true, 0, 1e-5);
  });
}

TEST(Gemm, Bfloat16OperandsAreSummedInFloat32) {
  const auto rounded = [](std::vector<float>& values) {
    std::vector<std::uint16_t> halves;
    for (float& value : values) {
      halves.push_back(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16));
      value = std::bit_cast<float>(std::uint32_t{halves.back()} << 16);
    }
    return halves;
  };
  for (const bool a_transposed : {false, true}) {
    for (const bool b_transposed : {false, true}) {
      const std::int64_t m = 37, n = 21, k = 500;
      Stored<float> a(m, k, a_transposed, 0, 1), b(k, n, b_transposed, 0, 2);
      const auto a16 = rounded(a.values), b16 = rounded(b.values);
      for (const bool accumulate : {false, true}) {
        std::vector<float> c(static_cast<std::size_t>(m * n), accumulate ? 3.0f : NAN);
        if (!gemm_bfloat16(m, n, k, {a16.data(), a.stride, a_transposed},
                           {b16.data(), b.stride, b_transposed}, accumulate, c.data())) {
          GTEST_SKIP() << "oneDNN has no bfloat16 product for this machine";
        }
        for (std::int64_t i = 0; i < m; ++i) {
          for (std::int64_t j = 0; j < n; ++j) {
            double want = accumulate ? 3 : 0;
            for (std::int64_t l = 0; l < k; ++l) want += a.at(i, l) * b.at(l, j);
            ASSERT_NEAR(c[static_cast<std::size_t>(i * n + j)], want, 2e-5);
          }
        }
      }
    }
  }
}

TEST(OneDnn, IsTheSystemsAndNotTheOneInsideLibTorch) {
  // If libtorch_cpu stands before libdnnl in the program, this fails with status 3: libdnnl's kernels are
  // never made.
  const std::vector<float> a(64, 1.0f);
  std::vector<float> c(64);
  EXPECT_EQ(dnnl::sgemm('N', 'T', 8, 8, 8, 1, a.data(), 8, a.data(), 8, 0, c.data(), 8),
            dnnl::status::success);
  EXPECT_EQ(c[63], 8.0f);
}

}  // namespace
}  // namespace ecp::ops
