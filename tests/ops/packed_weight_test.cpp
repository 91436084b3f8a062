// Products with packed weights against the definition in float64.
#include "ecp/ops/packed_weight.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/ops/onednn_weight.h"

namespace ecp::ops {
namespace {

OperandRows halves(const at::Tensor& t) {
  return {static_cast<const std::uint16_t*>(t.const_data_ptr()), t.size(1)};
}

/// |got − want| against what sums of `depth` products, and rounding to bfloat16 if not `wide`, may differ by.
void expect_near(const at::Tensor& got, const at::Tensor& want, bool wide, const std::string& what) {
  const at::Tensor allowed = (wide ? 2e-6 : 1.0 / 256) * want.abs() + 2e-5 * want.abs().max();
  EXPECT_TRUE(at::all((got.to(at::kDouble) - want).abs() <= allowed).item<bool>()) << what;
}

class PackedWeights : public testing::Test {
 protected:
  void SetUp() override {
    if (!PackedWeight::available()) GTEST_SKIP() << "oneDNN has no bfloat16 product for this machine";
    at::manual_seed(3);
  }
};

/// What is fastest here, and oneDNN's if that is another.
std::vector<std::unique_ptr<PackedWeight>> all_forms(std::int64_t out, std::int64_t in) {
  std::vector<std::unique_ptr<PackedWeight>> forms;
  forms.push_back(PackedWeight::make(out, in));
  if (OneDnnWeight::available()) forms.push_back(std::make_unique<OneDnnWeight>(out, in));
  return forms;
}

void check(PackedWeight& packed, std::int64_t out, std::int64_t in) {
  for (int time = 0; time < 2; ++time) {  // other values in the same memory
    const at::Tensor weight = at::randn({out, in}), bias = at::randn({out});
    packed.assign(weight.const_data_ptr<float>());
    const at::Tensor exact = weight.to(at::kBFloat16).to(at::kDouble);
    for (const std::int64_t rows : {0, 1, 2, 31, 64, 700}) {
      for (const bool wide : {false, true}) {
        const std::string what = std::to_string(rows) + " rows, [" + std::to_string(out) + ", " +
                                 std::to_string(in) + "]" + (wide ? ", wide" : "");
        const auto table = [&](std::int64_t columns, double value) {
          return at::full({rows, columns}, value, wide ? at::kFloat : at::kBFloat16);
        };
        const auto to = [&](const at::Tensor& t, bool accumulate) {
          return ProductRows{t.mutable_data_ptr(), t.size(1), wide, accumulate};
        };
        const at::Tensor x = at::randn({rows, in}).to(at::kBFloat16);
        const at::Tensor grad = at::randn({rows, out}).to(at::kBFloat16);
        if (rows == 0) {
          packed.forward(0, {nullptr, in}, nullptr, {nullptr, out});
          continue;
        }
        const at::Tensor y = at::mm(x.to(at::kDouble), exact.t()), dx = at::mm(grad.to(at::kDouble), exact);
        const at::Tensor got = table(out, NAN), biased = table(out, NAN), got_dx = table(in, NAN);
        packed.forward(rows, halves(x), nullptr, to(got, false));
        expect_near(got, y, wide, what);
        packed.forward(rows, halves(x), bias.const_data_ptr<float>(), to(biased, false));
        expect_near(biased, y + bias, wide, what + ", bias");
        packed.backward(rows, halves(grad), to(got_dx, false));
        expect_near(got_dx, dx, wide, what + ", backward");
        const at::Tensor sum = table(in, 4);
        packed.backward(rows, halves(grad), to(sum, true));
        expect_near(sum, dx + 4, wide, what + ", added");
      }
    }
  }
}

TEST_F(PackedWeights, AgreeWithTheDefinitionForAnyNumberOfRows) {
  for (const auto& [out, in] : {std::pair{1, 1}, {8, 16}, {37, 65}, {129, 31}, {300, 256}, {2200, 40}}) {
    for (const auto& packed : all_forms(out, in)) check(*packed, out, in);
  }
}

TEST_F(PackedWeights, WithGeluAgreeWithProductsAndTheDefinition) {
  if (!PackedWeight::has_gelu()) GTEST_SKIP() << "this machine has no tiles";
  for (const auto& [out, in] : {std::pair{1, 1}, {37, 65}, {129, 31}, {300, 256}}) {
    for (const std::int64_t rows : {1, 31, 64, 700}) {
      const auto up = PackedWeight::make(in, out), down = PackedWeight::make(out, in);
      const at::Tensor up_weight = at::randn({in, out}), down_weight = at::randn({out, in});
      up->assign(up_weight.const_data_ptr<float>());
      down->assign(down_weight.const_data_ptr<float>());
      const auto table = [&](std::int64_t columns) { return at::full({rows, columns}, NAN, at::kBFloat16); };
      const auto pointer = [](const at::Tensor& t) {
        return static_cast<std::uint16_t*>(t.mutable_data_ptr());
      };
      const at::Tensor x = at::randn({rows, out}).to(at::kBFloat16), bias = at::randn({in});
      const at::Tensor pre = table(in), plain = table(in), activated = table(in), again = table(in);
      up->forward_gelu(rows, halves(x), bias.const_data_ptr<float>(), {pointer(pre), pointer(activated), in});
      up->forward(rows, halves(x), bias.const_data_ptr<float>(), {pointer(plain), in});
      EXPECT_TRUE(at::equal(pre, plain));
      const at::Tensor z = pre.to(at::kDouble), cdf = 0.5 * (1 + at::erf(z / std::sqrt(2.0)));
      const std::string what =
          std::to_string(rows) + " rows, [" + std::to_string(out) + ", " + std::to_string(in) + "]";
      expect_near(activated, z * cdf, false, what);
      const at::Tensor grad = at::randn({rows, out}).to(at::kBFloat16), pre_grad = table(in);
      const at::Tensor sums = at::full({in}, NAN);
      down->backward_gelu(rows, halves(grad), {pointer(pre), pointer(again), in}, pointer(pre_grad),
                          sums.mutable_data_ptr<float>());
      EXPECT_TRUE(at::equal(again, activated));
      const at::Tensor slope = cdf + z * at::exp(-z * z / 2) / std::sqrt(2 * M_PI);
      const at::Tensor want =
          at::mm(grad.to(at::kDouble), down_weight.to(at::kBFloat16).to(at::kDouble)) * slope;
      EXPECT_TRUE(
          at::all((pre_grad.to(at::kDouble) - want).abs() <= want.abs() / 256 + 4e-4 * want.abs().max())
              .item<bool>())
          << what;
      const at::Tensor total = sums.to(at::kDouble);
      EXPECT_TRUE(
          at::all((total - want.sum(0)).abs() <= 4e-4 * (want.abs().sum(0) + want.abs().max())).item<bool>())
          << what;
    }
  }
}

TEST_F(PackedWeights, RefuseToBeEmpty) {
  EXPECT_THROW(PackedWeight::make(0, 4), Error);
  EXPECT_THROW(PackedWeight::make(4, 0), Error);
}

}  // namespace
}  // namespace ecp::ops
