// A language model trained on some of its rows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "tests/model/model_fixture.h"
#include "tests/support/errors.h"

namespace ecp {
namespace {

using test::error_of;
using ::testing::HasSubstr;

TEST(MaskedLoss, IsTheSumOverTheRowsThatCount) {
  for (const char* architecture : {"ecp", "full"}) {
    const auto model = test::make_model(test::small(architecture, "modern"));
    const at::Tensor tokens = test::make_tokens(3, 14, 19);
    const at::Tensor inputs = tokens.slice(1, 0, 13), next = tokens.slice(1, 1, 14);
    const at::Tensor counts = test::make_tokens(3, 13, 3, 8).eq(0);
    const at::Tensor targets = at::where(counts, next, at::full_like(next, -1));
    ASSERT_GT(counts.sum().item<std::int64_t>(), 0);
    const at::Tensor loss = model->masked_loss_sum(inputs, targets);
    const at::Tensor each = model->negative_log_likelihood(tokens);
    EXPECT_NEAR(loss.item<double>(), each.masked_select(counts).sum().item<double>(), 1e-4);

    // With every row it is the whole loss, gradients included.
    model->loss_sum(tokens).backward();
    std::vector<at::Tensor> whole;
    for (at::Tensor& parameter : model->parameters()) {
      whole.push_back(parameter.grad().clone());
      parameter.mutable_grad() = at::Tensor();
    }
    model->masked_loss_sum(inputs, next).backward();
    std::size_t i = 0;
    for (const at::Tensor& parameter : model->parameters())
      EXPECT_LT(test::largest_difference(parameter.grad(), whole[i++]), 1e-4);
  }
}

TEST(MaskedLoss, RefusesTargetsThatCannotBe) {
  const auto model = test::make_model(test::small("ecp", "modern"));
  const at::Tensor tokens = test::make_tokens(2, 6, 19);
  EXPECT_THAT(error_of([&] {
                model->masked_loss_sum(tokens, at::full({2, 6}, -1, at::kLong));
              }),
              HasSubstr("at least one target that isn't ignored"));
  EXPECT_THAT(error_of([&] {
                model->masked_loss_sum(tokens, at::full({2, 6}, 19, at::kLong));
              }),
              HasSubstr("expected targets below 19, got 19"));
  EXPECT_THAT(error_of([&] {
                model->masked_loss_sum(tokens, at::zeros({2, 5}, at::kLong));
              }),
              HasSubstr("expected targets as int64 [2, 6]"));
}

}  // namespace
}  // namespace ecp
