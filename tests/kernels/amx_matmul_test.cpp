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

// Whole parts and ragged ones, fewer columns than a panel, several blocks, sums of several chunks, and more
// panels than are summed between them.
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
