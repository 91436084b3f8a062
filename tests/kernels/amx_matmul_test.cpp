// Products on tiles against the definition in float64.
#include "ecp/kernels/amx_matmul.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ecp/base/random.h"
#include "ecp/kernels/scratch.h"

namespace ecp::kernels::amx {
namespace {

std::uint16_t upper(float x) { return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16); }
float widened(std::uint16_t x) { return std::bit_cast<float>(std::uint32_t{x} << 16); }

/// [rows, columns] of bfloat16 in memory whose rows, as stored, have a gap of `gap` numbers that aren't any.
struct Stored {
  Stored(std::int64_t rows, std::int64_t columns, bool turned, std::int64_t gap, std::uint64_t seed)
      : stride((turned ? rows : columns) + gap), transposed(turned) {
    const std::int64_t stored_rows = transposed ? columns : rows;
    values.assign(static_cast<std::size_t>(stored_rows * stride), upper(NAN));
    for (std::int64_t i = 0; i < stored_rows; ++i) {
      for (std::int64_t j = 0; j < stride - gap; ++j) {
        const auto at = static_cast<std::size_t>(i * stride + j);
        values[at] = upper(static_cast<float>(random_uniform(seed, at)) - 0.5f);
      }
    }
  }
  [[nodiscard]] double at(std::int64_t row, std::int64_t column) const {
    if (transposed) std::swap(row, column);
    return widened(values[static_cast<std::size_t>(row * stride + column)]);
  }
  [[nodiscard]] Matrix<const std::uint16_t> matrix() const { return {values.data(), stride, transposed}; }

  std::int64_t stride;
  bool transposed;
  std::vector<std::uint16_t> values;
};

struct Case {
  std::int64_t rows, inner, columns;
};

// Whole parts and ragged ones, fewer columns than a panel, several blocks, sums of several pieces and chunks,
// and more panels than are summed between them.
constexpr Case cases[] = {{1, 1, 1},       {32, 32, 32},    {31, 33, 65},     {100, 40, 17}, {64, 0, 40},
                          {70, 2049, 100}, {600, 1900, 33}, {40, 4200, 1060}, {64, 256, 768}};

std::string name_of(const Case& c) {
  return std::to_string(c.rows) + " x " + std::to_string(c.inner) + " x " + std::to_string(c.columns);
}

class TileProducts : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_matmul()) GTEST_SKIP() << "this machine has no tiles";
  }
};

/// The right operand; in two parts, as two threads would.
std::uint16_t* packed(const Stored& right, const Case& c, Scratch& memory) {
  auto* const to = reinterpret_cast<std::uint16_t*>(memory.take(right_elements(c.inner, c.columns) / 2 + 1));
  const std::int64_t bands = right_bands(right.transposed, c.inner, c.columns);
  pack_right(right.matrix(), c.inner, c.columns, to, bands / 2, bands);
  pack_right(right.matrix(), c.inner, c.columns, to, 0, bands / 2);
  return to;
}

/// What a product may differ by: of the sum's order, and rounding to bfloat16 if it isn't `wide`.
void expect_near(double got, double want, double size, bool wide, const std::string& what) {
  ASSERT_LE(std::abs(got - want), 1e-6 * size + (wide ? 0 : std::abs(want) / 256)) << what;
}

void check(const Case& c, bool left_transposed, bool right_transposed, bool wide, bool accumulate,
           bool has_bias, std::int64_t gap) {
  const Stored left(c.rows, c.inner, left_transposed, gap, 1);
  const Stored right(c.inner, c.columns, right_transposed, gap, 2);
  const Stored bias(1, c.columns, false, 0, 3);
  std::vector<float> biases;
  for (const std::uint16_t x : bias.values) biases.push_back(widened(x));
  Scratch memory;
  const std::int64_t stride = c.columns + gap;
  const std::uint16_t before = upper(accumulate ? 2.5f : NAN), untouched = upper(7.0f);
  std::vector<std::uint16_t> halves(static_cast<std::size_t>(c.rows * stride), untouched);
  for (std::int64_t i = 0; i < c.rows; ++i) {
    for (std::int64_t j = 0; j < c.columns; ++j) halves[static_cast<std::size_t>(i * stride + j)] = before;
  }
  std::vector<float> floats;
  for (const std::uint16_t x : halves) floats.push_back(widened(x));
  const MatMul problem{c.rows,
                       c.inner,
                       c.columns,
                       left.matrix(),
                       packed(right, c, memory),
                       has_bias ? biases.data() : nullptr,
                       wide ? static_cast<void*>(floats.data()) : halves.data(),
                       stride,
                       wide,
                       accumulate};
  const std::int64_t tasks = matmul_tasks(problem);
  matmul(problem, tasks / 3, tasks);
  matmul(problem, 0, tasks / 3);
  const std::string what = name_of(c) + (left_transposed ? ", left transposed" : "") +
                           (right_transposed ? ", right transposed" : "") + (wide ? ", wide" : "") +
                           (accumulate ? ", added" : "") + ", gap " + std::to_string(gap);
  const std::int64_t row_step = std::max<std::int64_t>(1, c.rows / 40);
  for (std::int64_t i = 0; i < c.rows; i += i + row_step < c.rows ? row_step : 1) {
    for (std::int64_t j = 0; j < stride; ++j) {
      const auto at = static_cast<std::size_t>(i * stride + j);
      const double got = wide ? floats[at] : widened(halves[at]);
      double want = (accumulate ? 2.5 : 0) + (has_bias && j < c.columns ? bias.at(0, j) : 0), size = 3;
      if (j < c.columns) {
        for (std::int64_t k = 0; k < c.inner; ++k) {
          want += left.at(i, k) * right.at(k, j);
          size += std::abs(left.at(i, k) * right.at(k, j));
        }
        expect_near(got, want, size, wide, what);
      } else {
        ASSERT_EQ(got, 7.0) << what << ": written between rows";
      }
    }
  }
}

TEST_F(TileProducts, AgreeWithTheDefinition) {
  for (const Case& c : cases) {
    for (const bool wide : {false, true}) {
      for (const bool accumulate : {false, true}) {
        check(c, false, false, wide, accumulate, !accumulate, wide ? 5 : 0);
      }
    }
    check(c, true, false, true, true, false, 0);  // a weight's gradient
    check(c, false, true, false, false, true, 32);
    check(c, true, true, true, false, false, 3);
  }
}

TEST_F(TileProducts, DontDependOnHowTasksAreDivided) {
  for (const Case& c : cases) {
    const Stored left(c.rows, c.inner, true, 0, 4), right(c.inner, c.columns, false, 0, 5);
    Scratch memory;
    std::vector<float> whole(static_cast<std::size_t>(c.rows * c.columns)), parts = whole;
    MatMul problem{c.rows,  c.inner,      c.columns, left.matrix(), packed(right, c, memory),
                   nullptr, whole.data(), c.columns, true,          false};
    const std::int64_t tasks = matmul_tasks(problem);
    matmul(problem, 0, tasks);
    problem.result = parts.data();
    for (std::int64_t task = tasks; task-- > 0;) matmul(problem, task, task + 1);
    EXPECT_EQ(whole, parts) << name_of(c);
  }
}

double cdf(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }
double slope(double x) { return cdf(x) + x * std::exp(-x * x / 2) / std::sqrt(2 * M_PI); }

/// Of a result in bfloat16 whose exact value is `want`: rounding, and what GELU's approximation adds.
void expect_rounded(double got, double want, double absolute, const std::string& what) {
  ASSERT_LE(std::abs(got - want), std::abs(want) * (1.0 / 256 + 3e-4) + absolute) << what;
}

/// What is written of a product with GELU, rows `stride` apart.
struct WithGelu {
  WithGelu(const Case& c, std::int64_t apart)
      : stride(apart),
        result(static_cast<std::size_t>(c.rows * stride), upper(7.0f)),
        activated(result),
        row_sums(static_cast<std::size_t>((c.rows + 31) / 32 * c.columns), NAN) {}

  std::int64_t stride;
  std::vector<std::uint16_t> result, activated;
  std::vector<float> row_sums;
};

TEST_F(TileProducts, WithGeluAgreeWithTheDefinition) {
  for (const Case& c : cases) {
    for (const std::int64_t gap : {0, 5}) {
      const std::string what = name_of(c) + ", gap " + std::to_string(gap);
      const Stored left(c.rows, c.inner, false, gap, 1), right(c.inner, c.columns, true, gap, 2);
      const Stored bias(1, c.columns, false, 0, 3);
      std::vector<float> biases;
      for (const std::uint16_t x : bias.values) biases.push_back(8 * widened(x));
      Scratch memory;
      const std::uint16_t* const right_operand = packed(right, c, memory);
      const auto run = [&](WithGelu& to, bool result, const std::uint16_t* pre) {
        const Gelu gelu{to.activated.data(), to.stride, pre, to.row_sums.data()};
        const MatMul problem{c.rows,
                             c.inner,
                             c.columns,
                             left.matrix(),
                             right_operand,
                             pre == nullptr ? biases.data() : nullptr,
                             result ? to.result.data() : nullptr,
                             to.stride,
                             false,
                             false,
                             &gelu};
        const std::int64_t tasks = matmul_tasks(problem);
        matmul(problem, tasks / 3, tasks);
        matmul(problem, 0, tasks / 3);
      };
      WithGelu kept(c, c.columns + gap), not_kept = kept, gradient = kept;
      run(kept, true, nullptr);
      run(not_kept, false, nullptr);
      run(gradient, true, kept.result.data());
      EXPECT_EQ(not_kept.activated, kept.activated) << what;
      EXPECT_EQ(gradient.activated, kept.activated) << what;
      std::vector<float> plain(static_cast<std::size_t>(c.rows * c.columns));
      MatMul products{c.rows,  c.inner,      c.columns, left.matrix(), right_operand,
                      nullptr, plain.data(), c.columns, true,          false};
      matmul(products, 0, matmul_tasks(products));
      for (std::int64_t j = 0; j < kept.stride; ++j) {
        double sum = 0, size = 0;
        for (std::int64_t i = 0; i < c.rows; ++i) {
          const auto at = static_cast<std::size_t>(i * kept.stride + j);
          if (j >= c.columns) {
            ASSERT_EQ(widened(kept.result[at]) + widened(kept.activated[at]), 14) << what << ": between rows";
            ASSERT_EQ(widened(gradient.result[at]), 7) << what << ": between rows";
            continue;
          }
          const double product = plain[static_cast<std::size_t>(i * c.columns + j)];
          expect_rounded(widened(kept.result[at]), product + biases[static_cast<std::size_t>(j)], 1e-5, what);
          const double pre = widened(kept.result[at]);
          expect_rounded(widened(kept.activated[at]), pre * cdf(pre), 1e-12, what);
          expect_rounded(widened(gradient.result[at]), product * slope(pre), 3e-4 * std::abs(product), what);
          sum += product * slope(pre);
          size += std::abs(product);
          if ((i + 1) % 32 != 0 && i + 1 != c.rows) continue;
          ASSERT_LE(std::abs(gradient.row_sums[static_cast<std::size_t>(i / 32 * c.columns + j)] - sum),
                    3e-4 * size)
              << what;
          sum = size = 0;
        }
      }
    }
  }
}

TEST_F(TileProducts, WithGeluTakeAnyNumber) {
  std::vector<float> biases;
  for (float x = 1e-30f; x < 1e38f; x *= 1.5f) {
    biases.push_back(x);
    biases.push_back(-x);
  }
  for (float x = -20; x < 20; x += 0.03125f) biases.push_back(x);
  for (const float x : {0.0f, -0.0f, INFINITY, NAN}) biases.push_back(x);
  const Case c{1, 0, static_cast<std::int64_t>(biases.size())};
  WithGelu to(c, c.columns);
  const Gelu gelu{to.activated.data(), to.stride, nullptr, nullptr};
  const MatMul problem{c.rows,           c.inner,   c.columns, {nullptr, 0}, nullptr, biases.data(),
                       to.result.data(), to.stride, false,     false,        &gelu};
  matmul(problem, 0, matmul_tasks(problem));
  for (std::size_t i = 0; i < biases.size(); ++i) {
    const double pre = widened(to.result[i]), got = widened(to.activated[i]);
    if (std::isnan(pre)) {
      EXPECT_TRUE(std::isnan(got));
    } else if (std::isinf(pre)) {
      EXPECT_EQ(got, pre);
    } else {
      expect_rounded(got, pre * cdf(pre), 2e-36, std::to_string(pre));
    }
  }
}

TEST_F(TileProducts, RoundFloatsAsTheyPackThem) {
  const std::int64_t rows = 70, columns = 45;
  std::vector<float> wide;
  std::vector<std::uint16_t> narrow;
  for (std::int64_t i = 0; i < rows * columns; ++i) {
    wide.push_back(static_cast<float>(random_uniform(6, static_cast<std::uint64_t>(i))) - 0.5f);
    const auto bits = std::bit_cast<std::uint32_t>(wide.back());
    narrow.push_back(static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16));
  }
  for (const bool transposed : {false, true}) {
    const std::int64_t inner = transposed ? columns : rows, across = transposed ? rows : columns;
    const auto count = static_cast<std::size_t>(right_elements(inner, across));
    const std::int64_t bands = right_bands(transposed, inner, across);
    Scratch a, b;
    auto* const of_floats = reinterpret_cast<std::uint16_t*>(a.take(static_cast<std::int64_t>(count)));
    auto* const of_halves = reinterpret_cast<std::uint16_t*>(b.take(static_cast<std::int64_t>(count)));
    pack_right(Matrix<const float>{wide.data(), columns, transposed}, inner, across, of_floats, 0, bands);
    pack_right(Matrix<const std::uint16_t>{narrow.data(), columns, transposed}, inner, across, of_halves, 0,
               bands);
    EXPECT_TRUE(std::equal(of_floats, of_floats + count, of_halves)) << "transposed: " << transposed;
  }
}

TEST_F(TileProducts, OfNothingAreNoWork) {
  EXPECT_EQ(matmul_tasks({0, 8, 8, {nullptr, 8}, nullptr, nullptr, nullptr, 8, false, false}), 0);
  EXPECT_EQ(matmul_tasks({8, 8, 0, {nullptr, 8}, nullptr, nullptr, nullptr, 0, false, false}), 0);
}

}  // namespace
}  // namespace ecp::kernels::amx
