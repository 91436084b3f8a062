#include "ecp/model/split_linear.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cstdint>
#include <vector>

#include "tests/model/model_fixture.h"

namespace ecp {
namespace {

using namespace ecp::test;

TEST(SplitLinear, EqualsTwoLayersJoined) {
  torch::manual_seed(4);
  for (const std::int64_t batch : {1, 2, 3}) {
    for (const std::int64_t split : {1, 8, 20}) {
      for (const bool bias : {false, true}) {
        SCOPED_TRACE(std::to_string(batch) + " windows, split " + std::to_string(split) +
                     (bias ? ", bias" : ""));
        const at::Tensor input = at::randn({batch, 21, 6}), grad = at::randn({batch, 21, 9});
        std::vector<at::Tensor> values = {input, at::randn({9, 6}), at::randn({9, 6}), at::randn({9}),
                                          at::randn({9})};
        const auto run = [&](at::ScalarType dtype, bool bfloat16, bool joined) {
          std::vector<at::Tensor> leaves;
          for (const at::Tensor& value : values)
            leaves.push_back(value.to(dtype).detach().clone().requires_grad_());
          const auto weighted = [&](const at::Tensor& rows, std::size_t i) {
            const at::Tensor y = at::matmul(rows, leaves[1 + i].t());
            return bias ? y + leaves[3 + i] : y;
          };
          const auto layer = [&](std::size_t i) {
            return Linear(leaves[1 + i], bias ? leaves[3 + i] : at::Tensor());
          };
          const at::Tensor y = joined ? at::cat({weighted(leaves[0].slice(1, 0, split), 0),
                                                 weighted(leaves[0].slice(1, split, 21), 1)},
                                                1)
                                      : split_linear(layer(0), layer(1), leaves[0], split, bfloat16);
          y.backward(grad.to(y.scalar_type()));
          std::vector<at::Tensor> results = {y.detach()};
          for (const at::Tensor& leaf : leaves) {
            if (leaf.grad().defined()) results.push_back(leaf.grad());
          }
          return results;
        };
        const auto want = run(at::kDouble, false, true), got = run(at::kFloat, false, false),
                   half = run(at::kFloat, true, false);
        ASSERT_EQ(got.size(), bias ? 6 : 4);
        ASSERT_EQ(want.size(), got.size());
        ASSERT_EQ(half.size(), got.size());
        for (std::size_t i = 0; i < want.size(); ++i) {
          const double size = want[i].norm().item<double>();
          EXPECT_LE((got[i] - want[i]).norm().item<double>(), 1e-6 * size) << i;
          EXPECT_LE((half[i] - want[i]).norm().item<double>(), 0.01 * size) << i;
          EXPECT_EQ(half[i].scalar_type(), i == 0 ? at::kBFloat16 : at::kFloat) << i;
        }
      }
    }
  }
}

}  // namespace
}  // namespace ecp
