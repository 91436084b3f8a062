// What training adds: dropout and bfloat16.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

#include "ecp/model/linear.h"
#include "ecp/model/norm.h"
#include "ecp/model/products.h"
#include "ecp/model/recompute.h"
#include "ecp/model/rope.h"
#include "tests/model/model_fixture.h"
#include "tests/support/errors.h"

namespace ecp {
namespace {

using namespace ecp::test;
using testing::HasSubstr;

ForwardContext training(std::int64_t step, std::vector<std::int64_t> samples) {
  ForwardContext context;
  context.training = true;
  context.seed = 7;
  context.step = step;
  context.samples = std::move(samples);
  return context;
}

std::vector<ModelConfig> dropping() {
  std::vector<ModelConfig> all = all_small();
  for (ModelConfig& config : all) config.dropout = 0.2;
  return all;
}

TEST(Dropout, IsAFunctionOfItsKey) {
  for (const ModelConfig& config : dropping()) {
    SCOPED_TRACE(name_of(config));
    const auto model = make_model(config);
    const at::NoGradGuard no_grad;
    const at::Tensor tokens = make_tokens(3, 13, config.vocab);
    const at::Tensor one = model->hidden(tokens, training(4, {10, 11, 12}));
    EXPECT_TRUE(at::equal(one, model->hidden(tokens, training(4, {10, 11, 12}))));
    EXPECT_FALSE(at::equal(one, model->hidden(tokens, training(5, {10, 11, 12}))));
    ForwardContext other_seed = training(4, {10, 11, 12});
    other_seed.seed = 8;
    EXPECT_FALSE(at::equal(one, model->hidden(tokens, other_seed)));
    // A sample's dropout doesn't depend on its neighbours or its place in the batch.
    const at::Tensor alone = model->hidden(tokens.slice(0, 1, 2), training(4, {11}));
    EXPECT_LE(largest_difference(alone[0], one[1]), 1e-5);
    const at::Tensor turned = model->hidden(tokens.flip(0), training(4, {12, 11, 10}));
    EXPECT_LE(largest_difference(turned.flip(0), one), 1e-5);
  }
}

TEST(Dropout, IsOffInEvaluationAndWithoutAProbability) {
  for (ModelConfig config : dropping()) {
    const at::Tensor tokens = make_tokens(1, 13, config.vocab);
    const at::NoGradGuard no_grad;
    const auto with = make_model(config);
    config.dropout = 0;
    const auto without = make_model(config);
    const at::Tensor want = without->hidden(tokens);
    EXPECT_TRUE(at::equal(with->hidden(tokens), want));
    EXPECT_TRUE(at::equal(without->hidden(tokens, training(1, {0})), want));
    EXPECT_FALSE(at::equal(with->hidden(tokens, training(1, {0})), want));
  }
}

TEST(Dropout, NeedsToKnowItsSamples) {
  const auto model = make_model(dropping().front());
  EXPECT_THAT(error_of([&] { model->hidden(make_tokens(2, 5, 19), training(1, {3})); }),
              HasSubstr("the global index of each of 2 samples, got 1"));
}

TEST(Dropout, BackwardDropsWhatForwardDropped) {
  // Central differences along a random direction of each weight, dropout held by its key.
  for (const ModelConfig& config : dropping()) {
    const auto model = make_model(config);
    const at::Tensor tokens = make_tokens(2, 13, config.vocab);
    const ForwardContext context = training(3, {0, 1});
    model->loss_sum(tokens, context).backward();
    const at::NoGradGuard no_grad;
    for (const char* name :
         {"layers.0.attention.q.weight", "layers.0.ffn.up.weight", "layers.1.ffn.down.weight"}) {
      const at::Tensor weight = model->named_parameters()[name];
      torch::manual_seed(1);
      const at::Tensor direction = at::randn_like(weight), original = weight.clone();
      const auto loss_at = [&](double step) {
        weight.copy_(original + step * direction);
        return model->negative_log_likelihood(tokens, context).to(at::kDouble).sum().item<double>();
      };
      const double slope = (loss_at(2e-3) - loss_at(-2e-3)) / 4e-3;
      weight.copy_(original);
      const double ours = (weight.grad() * direction).sum().item<double>();
      EXPECT_NEAR(ours, slope, 0.01 * std::abs(slope) + 0.05) << name_of(config) << " " << name;
    }
  }
}

TEST(Bfloat16, StaysNearFloat32AndKeepsItsGradientsWide) {
  for (ModelConfig config : all_small()) {
    SCOPED_TRACE(name_of(config));
    const std::int64_t n = 32;
    if (config.is_latent()) config.sequence = n;
    config.window = config.group = 16;  // enough keys for rounding to average out
    const auto wide = make_model(config), narrow = make_model(config);
    const at::Tensor tokens = make_tokens(2, n + 1, config.vocab);
    ForwardContext context;
    context.bfloat16 = true;
    const at::Tensor want = wide->loss_sum(tokens), got = narrow->loss_sum(tokens, context);
    EXPECT_EQ(got.scalar_type(), at::kFloat);
    EXPECT_NEAR(got.item<double>(), want.item<double>(), 0.01 * want.item<double>());
    EXPECT_NE(got.item<double>(), want.item<double>());
    EXPECT_EQ(narrow->hidden(tokens.slice(1, 0, n), context).scalar_type(),
              at::kFloat);  // the residual stream
    EXPECT_EQ(narrow->logits(tokens.slice(1, 0, n), context).scalar_type(), at::kFloat);
    want.backward();
    got.backward();
    // A gradient in which nearly all cancels (that of the query norm, say) is held against the whole step
    // instead.
    double whole = 0;
    for (const auto& item : wide->named_parameters()) {
      if (item.value().grad().defined()) whole = std::hypot(whole, item.value().grad().norm().item<double>());
    }
    for (const auto& item : wide->named_parameters()) {
      if (!item.value().grad().defined()) continue;
      const at::Tensor grad = narrow->named_parameters()[item.key()].grad();
      ASSERT_EQ(grad.scalar_type(), at::kFloat) << item.key();
      const double error = (grad - item.value().grad()).norm().item<double>();
      EXPECT_LE(error, 0.05 * item.value().grad().norm().item<double>() + 1e-3 * whole) << item.key();
    }
  }
}

TEST(Bfloat16, IsDeterministicAndDropsAsFloat32Does) {
  ModelConfig config = dropping().front();
  const auto model = make_model(config);
  const at::Tensor tokens = make_tokens(2, 33, config.vocab);
  ForwardContext context = training(2, {0, 1});
  const double wide = model->loss_sum(tokens, context).item<double>();
  context.bfloat16 = true;
  const double once = model->loss_sum(tokens, context).item<double>();
  EXPECT_EQ(once, model->loss_sum(tokens, context).item<double>());
  EXPECT_NEAR(once, wide, 0.01 * wide);
}

TEST(Recompute, ChangesNoBitOfLossAndGradients) {
  for (const ModelConfig& config : dropping()) {
    for (const bool bfloat16 : {false, true}) {
      SCOPED_TRACE(name_of(config) + (bfloat16 ? " bfloat16" : ""));
      const auto model = make_model(config);
      const at::Tensor tokens = make_tokens(2, 14, config.vocab);
      ForwardContext context = training(3, {5, 9});
      context.bfloat16 = bfloat16;
      if (!config.has_unmasked_history())
        context.document_start =
            at::tensor({0, 0, 0, 0, 4, 4, 4, 7, 7, 7, 7, 7, 7}, at::kInt).expand({2, 13});
      const auto run = [&](bool recompute) {
        context.recompute = recompute;
        model->zero_grad();
        const at::Tensor loss = model->loss_sum(tokens, context);
        loss.backward();
        std::vector<at::Tensor> all = {loss.detach()};
        for (const auto& parameter : model->parameters()) {
          all.push_back(parameter.grad().defined() ? parameter.grad().clone() : at::zeros({1}));
        }
        return all;
      };
      const auto want = run(false), got = run(true);
      for (std::size_t i = 0; i < want.size(); ++i) EXPECT_TRUE(at::equal(got[i], want[i])) << i;
    }
  }
}

TEST(Recompute, KeepsOnlyTheInput) {
  const at::Tensor x = at::randn({4, 3}).requires_grad_(), weight = at::randn({3, 3}).requires_grad_();
  int runs = 0;
  const ModelPart part = [&](const at::Tensor& in) {
    ++runs;
    return at::mm(in, weight).exp();
  };
  const at::Tensor y = recomputed(part, x);
  EXPECT_EQ(runs, 1);
  y.sum().backward();
  EXPECT_EQ(runs, 2);
  const at::Tensor grad_x = x.grad().clone(), grad_weight = weight.grad().clone();
  x.mutable_grad().reset();
  weight.mutable_grad().reset();
  part(x).sum().backward();
  EXPECT_TRUE(at::equal(grad_x, x.grad()) && at::equal(grad_weight, weight.grad()));
  const at::NoGradGuard no_grad;
  EXPECT_FALSE(recomputed(part, x).requires_grad());
}

TEST(Linear, WeightGradientsOfBfloat16AreSummedInFloat32) {
  const at::Tensor x = at::randn({3, 700, 24}), weight = at::randn({40, 24}).set_requires_grad(true);
  const at::Tensor bias = at::randn({40}).set_requires_grad(true), grad = at::randn({3, 700, 40});
  const Linear linear(weight, bias);
  linear(x, true).backward(grad.to(at::kBFloat16));
  const auto exact = [](const at::Tensor& t) { return t.to(at::kBFloat16).to(at::kDouble).flatten(0, 1); };
  const at::Tensor want = at::mm(exact(grad).t(), exact(x));
  EXPECT_LE(largest_difference(weight.grad(), want), 1e-5 * want.abs().max().item<double>());
  const at::Tensor sums = exact(grad).sum(0);
  EXPECT_LE(largest_difference(bias.grad(), sums), 1e-5 * sums.abs().max().item<double>());
}

TEST(Linear, SeesWhatHappensToItsWeight) {
  const at::Tensor weight = at::randn({40, 24}).set_requires_grad(true), x = at::randn({9, 24});
  const Linear linear(weight, {});
  for (const bool through_a_pointer : {false, true}) {
    const at::NoGradGuard no_grad;
    const at::Tensor before = linear(x, true);
    if (through_a_pointer) {
      weight.mutable_data_ptr<float>()[0] += 100;
      values_changed(weight);
    } else {
      weight.add_(at::randn({40, 24}));
    }
    const auto rounded = [](const at::Tensor& t) { return t.to(at::kBFloat16).to(at::kDouble); };
    const at::Tensor want = at::mm(rounded(x), rounded(weight).t());
    const at::Tensor after = linear(x, true);
    EXPECT_LE(largest_difference(after, want), 0.01 * want.abs().max().item<double>());
    EXPECT_GT(largest_difference(after, before), 0.1);
  }
}

TEST(Linear, TakesRowsHoweverTheyLie) {
  const at::Tensor weight = at::randn({6, 8}).set_requires_grad(true);
  const Linear linear(weight, {});
  const at::Tensor x = at::randn({8, 5, 2}).transpose(0, 2).requires_grad_();  // [2, 5, 8], strided
  const at::Tensor y = linear(x, false);
  const at::Tensor want = at::matmul(x.detach(), weight.detach().t());
  EXPECT_LE(largest_difference(y, want), 1e-5);
  y.sum().backward();
  EXPECT_LE(largest_difference(x.grad(), weight.detach().sum(0).expand({2, 5, 8})), 1e-5);
}

TEST(SumOfRows, AgreesWithDoubleForAnyNumberOfThreads) {
  const int threads = at::get_num_threads();
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const std::int64_t rows : {1, 31, 33, 300}) {
      for (const std::int64_t width : {1, 17, 130}) {
        const at::Tensor matrix = at::randn({rows, width + 5}).to(dtype).slice(1, 0, width);
        const at::Tensor want = matrix.to(at::kDouble).sum(0);
        at::set_num_threads(1);
        const at::Tensor one = sum_of_rows(matrix);
        at::set_num_threads(4);
        EXPECT_TRUE(at::equal(one, sum_of_rows(matrix))) << rows << " " << width;
        EXPECT_EQ(one.scalar_type(), at::kFloat);
        EXPECT_LE(largest_difference(one, want), 1e-5 * static_cast<double>(rows)) << rows << " " << width;
      }
    }
  }
  at::set_num_threads(threads);
}

TEST(LayerNorm, AgreesWithItsFormulaForwardAndBackward) {
  for (const std::int64_t width : {1, 2, 7, 16, 33, 256}) {
    const at::Tensor x = at::randn({3, 65, width}) + 2, weight = at::randn({width}),
                     bias = at::randn({width}), grad = at::randn({3, 65, width});
    const auto run = [&](bool formula, at::ScalarType dtype) {
      const at::ScalarType of_weights = dtype == at::kDouble ? at::kDouble : at::kFloat;
      const at::Tensor a = x.to(dtype).detach().requires_grad_();
      const at::Tensor w = weight.to(of_weights).detach().requires_grad_();
      const at::Tensor b = bias.to(of_weights).detach().requires_grad_();
      const at::Tensor centered = a - a.mean(-1, true);
      const at::Tensor y = formula ? centered / at::sqrt(centered.square().mean(-1, true) + 1e-3) * w + b
                                   : layer_norm(a, w, b, 1e-3);
      y.backward(grad.to(dtype));
      return std::vector<at::Tensor>{y.detach(), a.grad(), w.grad(), b.grad()};
    };
    const auto want = run(true, at::kDouble), got = run(false, at::kFloat), half = run(false, at::kBFloat16);
    for (std::size_t i = 0; i < 4; ++i) {
      const double largest = std::max(1.0, want[i].abs().max().item<double>());
      EXPECT_LE(largest_difference(got[i], want[i]), 2e-5 * largest) << width << " " << i;
      if (width <= 2) continue;  // where rounding of x decides
      EXPECT_LE(largest_difference(half[i], want[i]), 0.05 * largest) << width << " " << i;
    }
    EXPECT_EQ(half[0].scalar_type(), at::kBFloat16);
    EXPECT_EQ(half[3].scalar_type(), at::kFloat);
  }
}

TEST(LayerNorm, OfASumIsTheSumAndItsNormForwardAndBackward) {
  enum Grads { normed, sum, both };
  for (const std::int64_t width : {1, 7, 33, 256}) {
    for (const bool has_bias : {false, true}) {
      for (const at::ScalarType added : {at::kFloat, at::kBFloat16}) {
        for (const Grads grads : {normed, sum, both}) {
          const at::Tensor x = at::randn({2, 65, width}), y = at::randn({2, 65, width}).to(added);
          const at::Tensor weight = at::randn({width}), bias = has_bias ? at::randn({width}) : at::Tensor();
          const at::Tensor sum_grad = at::randn(x.sizes()), normed_grad = at::randn(x.sizes()).to(added);
          const auto run = [&](bool fused) {
            const at::Tensor a = x.clone().requires_grad_(), b = y.clone().requires_grad_();
            const at::Tensor w = weight.clone().requires_grad_();
            const at::Tensor c = has_bias ? bias.clone().requires_grad_() : bias;
            const at::Tensor apart = a + b;
            const NormedSum got = fused ? layer_norm(Sum{a, b}, w, c, 1e-3, added)
                                        : NormedSum{apart, layer_norm(apart, w, c, 1e-3, added)};
            std::vector<at::Tensor> outputs, output_grads;
            if (grads != normed) outputs.push_back(got.sum), output_grads.push_back(sum_grad);
            if (grads != sum) outputs.push_back(got.normed), output_grads.push_back(normed_grad);
            torch::autograd::backward(outputs, output_grads);
            std::vector<at::Tensor> all{got.sum.detach(), got.normed.detach(), a.grad(), b.grad()};
            if (grads != sum) all.push_back(w.grad());
            if (grads != sum && has_bias) all.push_back(c.grad());
            return all;
          };
          const auto want = run(false), got = run(true);
          for (std::size_t i = 0; i < want.size(); ++i) {
            EXPECT_EQ(got[i].scalar_type(), want[i].scalar_type()) << i;
            EXPECT_TRUE(at::equal(got[i], want[i])) << width << " " << has_bias << " " << grads << " " << i;
          }
        }
      }
    }
  }
}

TEST(RmsNorm, AgreesWithItsFormulaForwardAndBackward) {
  for (const std::int64_t width : {1, 2, 7, 16, 33, 256}) {
    const at::Tensor x = at::randn({3, 65, width}), weight = at::randn({width}),
                     grad = at::randn({3, 65, width});
    const auto run = [&](bool formula, at::ScalarType dtype) {
      const at::Tensor a = x.to(dtype).detach().requires_grad_();
      const at::Tensor w =
          weight.to(dtype == at::kDouble ? at::kDouble : at::kFloat).detach().requires_grad_();
      const at::Tensor y =
          formula ? a / at::sqrt(a.square().mean(-1, true) + 1e-5) * w : rms_norm(a, w, 1e-5);
      y.backward(grad.to(dtype));
      return std::vector<at::Tensor>{y.detach(), a.grad(), w.grad()};
    };
    const auto want = run(true, at::kDouble), got = run(false, at::kFloat), half = run(false, at::kBFloat16);
    for (std::size_t i = 0; i < 3; ++i) {
      const double largest = std::max(1.0, want[i].abs().max().item<double>());
      EXPECT_LE(largest_difference(got[i], want[i]), 1e-5 * largest) << width << " " << i;
      if (width <= 2) continue;
      EXPECT_LE(largest_difference(half[i], want[i]), 0.05 * largest) << width << " " << i;
    }
    EXPECT_EQ(half[0].scalar_type(), at::kBFloat16);
    EXPECT_EQ(half[2].scalar_type(), at::kFloat);
  }
}

TEST(Rope, TurnsByRelativePosition) {
  // q at position i and k at position j meet at an angle that depends on i − j alone.
  const at::Tensor q = at::randn({1, 1, 2, 10}), k = at::randn({1, 1, 2, 10});
  const auto at_position = [](const at::Tensor& x, std::int64_t position) {
    return rotate(x, make_rotation(at::full({1}, position, at::kLong), 10, 10000));
  };
  const at::Tensor want = (at_position(q, 7) * at_position(k, 3)).sum(-1);
  for (const std::int64_t shift : {-50, -3, 1, 1000}) {
    EXPECT_LE(largest_difference((at_position(q, 7 + shift) * at_position(k, 3 + shift)).sum(-1), want), 1e-5)
        << shift;
  }
  EXPECT_TRUE(at::equal(at_position(q, 0), q));
  EXPECT_GT(largest_difference((at_position(q, 8) * at_position(k, 3)).sum(-1), want), 1e-3);
}

}  // namespace
}  // namespace ecp
