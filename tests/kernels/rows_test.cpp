// Matrix-vector product, norms, rotation and activations against plain float64 code.
#include <functional>
#include <limits>
#include <numbers>

#include "ecp/kernels/activation.h"
#include "ecp/kernels/matvec.h"
#include "ecp/kernels/norm.h"
#include "ecp/kernels/rope.h"
#include "kernel_test.h"
#include "weight_fixture.h"

namespace ecp::kernels {
namespace {

using Rows = Kernel;
ECP_FOR_EACH_ISA(Rows);

constexpr float guard = 12345.0f;  // stands behind every output and must stay

TEST_P(Rows, MatVecEqualsTheSumInDouble) {
  for (const WeightType type : weight_types) {
    for (const std::int64_t in : odd_lengths) {
      for (const std::int64_t out : {std::int64_t{1}, std::int64_t{3}, std::int64_t{4}, std::int64_t{9}}) {
        for (const bool accumulate : {false, true}) {
          const StoredWeight weight(type, out, in, 1);
          const auto x = random_values(in, 2), bias = random_values(out, 3);
          auto y = random_values(out + 1, 4);
          const auto before = y;
          y[static_cast<std::size_t>(out)] = guard;
          const float* used_bias = in % 2 == 0 ? nullptr : bias.data();
          matvec({weight.matrix, used_bias, x.data(), y.data(), out, accumulate});
          for (std::int64_t o = 0; o < out; ++o) {
            double sum = used_bias != nullptr ? bias[static_cast<std::size_t>(o)] : 0;
            if (accumulate) sum += before[static_cast<std::size_t>(o)];
            double rounding = 0;  // of x, whose values are below 1
            for (std::int64_t i = 0; i < in; ++i) {
              sum += static_cast<double>(weight.values[static_cast<std::size_t>(o * in + i)]) *
                     x[static_cast<std::size_t>(i)];
              if (type != WeightType::int8) continue;
              rounding += std::abs(weight.values[static_cast<std::size_t>(o * in + i)]) * 0x1p-16;
            }
            EXPECT_NEAR(y[static_cast<std::size_t>(o)], sum,
                        rounding + 1e-6 * std::sqrt(static_cast<double>(in)) + 1e-6)
                << "in " << in << " out " << out << " row " << o << " bytes " << size_of(type);
          }
          EXPECT_EQ(y[static_cast<std::size_t>(out)], guard);
        }
      }
    }
  }
}

TEST_P(Rows, MatVecRowsAreTheSameHoweverTheyAreDivided) {
  const std::int64_t out = 23, in = 77;
  const auto x = random_values(in, 6);
  for (const WeightType type : weight_types) {
    const StoredWeight weight(type, out, in, 5);
    std::vector<float> whole(out), pieces(out);
    matvec({weight.matrix, nullptr, x.data(), whole.data(), out, false});
    for (std::int64_t begin = 0; begin < out;) {
      const std::int64_t count = std::min<std::int64_t>(1 + begin % 5, out - begin);
      matvec({weight.matrix.from_row(begin), nullptr, x.data(), pieces.data() + begin, count, false});
      begin += count;
    }
    EXPECT_EQ(whole, pieces);
  }
}

TEST_P(Rows, MatVecOfSeveralInputsIsThatOfEach) {
  for (const WeightType type : weight_types) {
    for (const std::int64_t in : odd_lengths) {
      for (const std::int64_t inputs :
           {std::int64_t{2}, std::int64_t{4}, std::int64_t{7}, std::int64_t{16}}) {
        const std::int64_t out = 11, x_stride = in + 3, y_stride = out + 2;
        const StoredWeight weight(type, out, in, 11);
        const auto x = random_values(inputs * x_stride, 12), bias = random_values(out, 13);
        auto together = random_values(inputs * y_stride, 14);
        auto alone = together;
        matvec(
            {weight.matrix, bias.data(), x.data(), together.data(), out, true, inputs, x_stride, y_stride});
        for (std::int64_t i = 0; i < inputs; ++i) {
          matvec(
              {weight.matrix, bias.data(), x.data() + i * x_stride, alone.data() + i * y_stride, out, true});
        }
        EXPECT_EQ(together, alone) << "in " << in << ", " << inputs << " inputs";
      }
    }
  }
}

TEST_P(Rows, MatVecOfInt8TakesWhatItHasToOfTheExtremes) {
  const std::int64_t in = 200;
  StoredWeight weight(WeightType::int8, 1, in, 5);
  for (auto& byte : weight.bytes) byte = 0x7f;  // the padding as well: beyond x there is nothing
  std::fill(weight.scales.begin(), weight.scales.end(), 1.0f);
  const auto product = [&](const std::vector<float>& x) {
    float y = 0;
    matvec({weight.matrix, nullptr, x.data(), &y, 1, false});
    return y;
  };
  EXPECT_EQ(product(std::vector<float>(in, 0.0f)), 0.0f);
  for (const float value : {1.0f, -1.0f, 3e30f, -1e-20f}) {
    EXPECT_NEAR(product(std::vector<float>(in, value)) / value, 127.0f * in, 127 * in * 2e-5);
  }
  for (const float value :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> x(in, 1.0f);
    x[150] = value;
    EXPECT_FALSE(std::isfinite(product(x)));
  }
}

TEST_P(Rows, MatVecOfBfloat16IsThatOfItsNumbersInFloat32) {
  for (const std::int64_t in : odd_lengths) {
    const StoredWeight weight(WeightType::bfloat16, 7, in, 8);
    const auto x = random_values(in, 9);
    std::vector<float> half(7), wide(7);
    matvec({weight.matrix, nullptr, x.data(), half.data(), 7, false});
    matvec({float_weight(weight.values.data(), in), nullptr, x.data(), wide.data(), 7, false});
    EXPECT_EQ(half, wide) << in;
  }
}

TEST_P(Rows, WeightsAreWidenedExactly) {
  for (const WeightType type : weight_types) {
    for (const std::int64_t in : odd_lengths) {
      const StoredWeight weight(type, 5, in, 10);
      std::vector<float> wide(weight.values.size() + 1, guard);
      weight_to_float(weight.matrix, 5, wide.data());
      EXPECT_EQ(wide.back(), guard);
      wide.pop_back();
      EXPECT_EQ(wide, weight.values) << in;
    }
  }
}

TEST_P(Rows, NormsEqualTheirDefinitionsInDouble) {
  for (const std::int64_t width : odd_lengths) {
    for (const bool layer : {false, true}) {
      const std::int64_t rows = 3, stride = width + 2;
      auto x = random_values(rows * stride, 7);
      for (float& value : x) value = 3 * value + 0.5f;
      const auto weight = random_values(width, 8), bias = random_values(width, 9);
      std::vector<float> y(static_cast<std::size_t>(rows * stride), guard);
      const Norm norm{x.data(), y.data(), weight.data(), bias.data(), rows, width, stride, stride, 1e-5f};
      layer ? layer_norm(norm) : rms_norm(norm);
      for (std::int64_t r = 0; r < rows; ++r) {
        const float* row = x.data() + r * stride;
        double mean = 0, square = 0;
        for (std::int64_t i = 0; i < width && layer; ++i)
          mean += static_cast<double>(row[i]) / static_cast<double>(width);
        for (std::int64_t i = 0; i < width; ++i)
          square += (row[i] - mean) * (row[i] - mean) / static_cast<double>(width);
        for (std::int64_t i = 0; i < width; ++i) {
          const auto at = static_cast<std::size_t>(i);
          const double expected =
              (row[i] - mean) / std::sqrt(square + static_cast<double>(1e-5f)) * weight[at] +
              (layer ? bias[at] : 0);
          EXPECT_NEAR(y[static_cast<std::size_t>(r * stride + i)], expected, 1e-5)
              << "width " << width << " layer " << layer;
        }
        EXPECT_EQ(y[static_cast<std::size_t>(r * stride + width)], guard);
      }
      std::vector<float> in_place = x;
      Norm same = norm;
      same.x = same.y = in_place.data();
      layer ? layer_norm(same) : rms_norm(same);
      for (std::int64_t i = 0; i < width; ++i)
        EXPECT_EQ(in_place[static_cast<std::size_t>(i)], y[static_cast<std::size_t>(i)]);
    }
  }
}

TEST_P(Rows, RopeTurnsPairsByPositionTimesFrequency) {
  for (const std::int64_t width : {2, 4, 6, 10, 16, 18, 32, 34, 64, 66}) {
    for (const std::int64_t position :
         {std::int64_t{0}, std::int64_t{1}, std::int64_t{-77}, std::int64_t{1000003}}) {
      const auto frequencies = rope_frequencies(width, 10000);
      std::vector<float> table(static_cast<std::size_t>(2 * width));
      rope_table(frequencies, position, table.data());
      const auto x = random_values(2 * width, 10);
      std::vector<float> out(static_cast<std::size_t>(2 * width + 1), guard);
      rope({x.data(), out.data(), table.data(), 2, width, width, width, false});
      auto sum = x;
      rope({x.data(), sum.data(), table.data(), 2, width, width, width, true});
      for (std::int64_t r = 0; r < 2; ++r) {
        for (std::int64_t i = 0; i < width; i += 2) {
          const auto at = static_cast<std::size_t>(r * width + i);
          const double angle = static_cast<double>(position) *
                               std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(width));
          const double first = x[at] * std::cos(angle) - x[at + 1] * std::sin(angle);
          const double second = x[at] * std::sin(angle) + x[at + 1] * std::cos(angle);
          EXPECT_NEAR(out[at], first, 3e-7) << "width " << width << " position " << position;
          EXPECT_NEAR(out[at + 1], second, 3e-7) << "width " << width << " position " << position;
          EXPECT_NEAR(sum[at], first + x[at], 5e-7);
        }
      }
      EXPECT_EQ(out.back(), guard);
    }
  }
}

/// Values from −20 to 20 and far beyond.
std::vector<float> activation_inputs() {
  std::vector<float> x;
  for (int i = -2000; i <= 2000; ++i) x.push_back(static_cast<float>(i) * 0.01f);
  for (const float extreme : {-1e30f, -100.0f, -88.5f, -13.5f, 0.0f, 1e-30f, 13.5f, 88.5f, 100.0f, 1e30f}) {
    x.push_back(extreme);
  }
  return x;
}

double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }

TEST_P(Rows, ActivationsEqualTheirDefinitionsInDouble) {
  const auto x = activation_inputs();
  const auto count = static_cast<std::int64_t>(x.size());
  const auto up = random_values(count, 11);
  std::vector<float> activated(x.size()), gated(x.size());
  gelu(x.data(), activated.data(), count);
  silu_times(x.data(), up.data(), gated.data(), count);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double value = x[i];
    const double expected = value * normal_cdf(value);
    // Far in the tail e^(−x²/2) takes the rounding of its exponent with it.
    EXPECT_NEAR(activated[i], expected, std::abs(expected) * 1e-6 * (1 + 0.2 * value * value) + 1e-36)
        << value;
    const double silu = value / (1 + std::exp(-value)) * up[i];
    EXPECT_NEAR(gated[i], silu, std::abs(silu) * 1e-6 + 1e-6) << value;
  }
}

TEST_P(Rows, ActivationsGradientsEqualTheirDefinitionsInDouble) {
  const auto x = activation_inputs();
  const auto count = static_cast<std::int64_t>(x.size());
  const auto up = random_values(count, 15), grad = random_values(count, 16);
  std::vector<float> activated(x.size()), gated(x.size()), again(x.size()), dx(x.size()), dgate(x.size()),
      dup(x.size());
  gelu(x.data(), activated.data(), count);
  gelu_backward(x.data(), grad.data(), again.data(), dx.data(), count);
  EXPECT_EQ(again, activated);
  silu_times(x.data(), up.data(), gated.data(), count);
  silu_times_backward(x.data(), up.data(), grad.data(), again.data(), dgate.data(), dup.data(), count);
  EXPECT_EQ(again, gated);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double value = x[i], g = grad[i], sigma = 1 / (1 + std::exp(-value));
    const double density = std::exp(-value * value / 2) / std::sqrt(2 * std::numbers::pi);
    EXPECT_NEAR(dx[i], g * (normal_cdf(value) + value * density), std::abs(g) * 2e-6) << value;
    const double slope = std::abs(value) > 80 ? sigma : sigma * (1 + value * (1 - sigma));
    EXPECT_NEAR(dgate[i], g * up[i] * slope, std::abs(g * up[i]) * 2e-6) << value;
    EXPECT_NEAR(dup[i], g * value * sigma, std::abs(g * value * sigma) * 1e-6 + 1e-6) << value;
  }
}

TEST_P(Rows, ActivationsMayOverwriteTheirOperands) {
  for (const std::int64_t count : odd_lengths) {
    const auto x = random_values(count, 17), up = random_values(count, 18), grad = random_values(count, 19);
    const auto size = static_cast<std::size_t>(count);
    std::vector<float> out(size), dx(size), dgate(size), dup(size), in_place = grad, of_up = grad;
    gelu_backward(x.data(), grad.data(), out.data(), dx.data(), count);
    gelu_backward(x.data(), in_place.data(), out.data(), in_place.data(), count);
    EXPECT_EQ(in_place, dx);
    silu_times_backward(x.data(), up.data(), grad.data(), out.data(), dgate.data(), dup.data(), count);
    silu_times_backward(x.data(), up.data(), of_up.data(), out.data(), dgate.data(), of_up.data(), count);
    EXPECT_EQ(of_up, dup);
  }
}

TEST_P(Rows, ActivationsStayWithinOddLengths) {
  for (const std::int64_t count : odd_lengths) {
    const auto gate = random_values(count, 12), before = random_values(count, 13);
    auto x = before, up = random_values(count, 14), dx = before;
    for (auto* values : {&x, &up, &dx}) values->push_back(guard);
    gelu(x.data(), x.data(), count);
    silu_times(gate.data(), up.data(), up.data(), count);
    const double last = before[static_cast<std::size_t>(count - 1)];
    EXPECT_NEAR(x[static_cast<std::size_t>(count - 1)], last * normal_cdf(last), 1e-6);
    gelu_backward(gate.data(), dx.data(), x.data(), dx.data(), count);
    silu_times_backward(gate.data(), gate.data(), dx.data(), x.data(), dx.data(), up.data(), count);
    for (const auto& values : {x, up, dx}) EXPECT_EQ(values.back(), guard);
  }
}

TEST_P(Rows, NotANumberStaysVisible) {
  std::vector<float> x = {std::nanf(""), 1.0f}, up = {1.0f, std::nanf("")};
  gelu(x.data(), x.data(), 2);
  EXPECT_TRUE(std::isnan(x[0]));
  EXPECT_FALSE(std::isnan(x[1]));
  silu_times(x.data(), up.data(), up.data(), 2);
  EXPECT_TRUE(std::isnan(up[0]) && std::isnan(up[1]));
}

}  // namespace
}  // namespace ecp::kernels
