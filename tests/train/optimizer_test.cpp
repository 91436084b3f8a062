#include "ecp/train/optimizer.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"

namespace ecp {
namespace {

using test::error_of;

at::Tensor parameter(std::vector<std::int64_t> shape, std::uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  return at::randn(shape, generator).set_requires_grad(true);
}

void set_gradient(at::Tensor& tensor, std::uint64_t seed, double scale = 1) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  tensor.mutable_grad() = at::randn(tensor.sizes(), generator) * scale;
}

/// AdamW as its authors write it, in double precision.
struct Reference {
  at::Tensor value, first, second;
  bool decay;

  Reference(const at::Tensor& start, bool with_decay)
      : value(start.detach().to(at::kDouble)),
        first(at::zeros_like(value)),
        second(at::zeros_like(value)),
        decay(with_decay) {}

  void step(const TrainConfig& config, const at::Tensor& gradient, double factor, std::int64_t steps) {
    const at::Tensor g = gradient.to(at::kDouble) * factor;
    first = config.beta1 * first + (1 - config.beta1) * g;
    second = config.beta2 * second + (1 - config.beta2) * g * g;
    const at::Tensor m = first / (1 - std::pow(config.beta1, static_cast<double>(steps)));
    const at::Tensor v = second / (1 - std::pow(config.beta2, static_cast<double>(steps)));
    if (decay) value = value * (1 - config.lr * config.weight_decay);
    value = value - config.lr * m / (v.sqrt() + config.eps);
  }
};

TEST(AdamW, AgreesWithDoublePrecision) {
  TrainConfig config;
  config.lr = 3e-3;
  std::vector<AdamW::Entry> entries{{"a", parameter({33, 17}, 1), true}, {"b", parameter({19}, 2), false}};
  std::vector<Reference> references{{entries[0].parameter, true}, {entries[1].parameter, false}};
  AdamW optimizer(config, entries);
  for (std::int64_t step = 1; step <= 40; ++step) {
    for (std::size_t i = 0; i < 2; ++i) {
      set_gradient(entries[i].parameter, 100 * static_cast<std::uint64_t>(step) + i, 50);
      references[i].step(config, entries[i].parameter.grad(), 1 / 64.0, step);
    }
    optimizer.step(config.lr, 1 / 64.0);
    optimizer.clear_gradients();
    EXPECT_FALSE(entries[0].parameter.grad().defined());
  }
  EXPECT_EQ(optimizer.steps(), 40);
  for (std::size_t i = 0; i < 2; ++i) {
    const double error =
        (entries[i].parameter.detach().to(at::kDouble) - references[i].value).abs().max().item<double>();
    EXPECT_LT(error, 1e-5) << i;
  }
}

TEST(AdamW, DecaysOnlyWhereToldAndScalesWithTheRate) {
  TrainConfig config;
  config.weight_decay = 0.5;
  std::vector<AdamW::Entry> entries{{"a", at::ones({4}).set_requires_grad(true), true},
                                    {"b", at::ones({4}).set_requires_grad(true), false}};
  for (auto& entry : entries) entry.parameter.mutable_grad() = at::zeros({4});
  AdamW optimizer(config, entries);
  optimizer.step(0.1, 1);
  EXPECT_NEAR(entries[0].parameter[0].item<double>(), 0.95, 1e-6);
  EXPECT_EQ(entries[1].parameter[0].item<double>(), 1.0);
}

TEST(AdamW, SkipsParametersWithoutGradient) {
  TrainConfig config;
  std::vector<AdamW::Entry> entries{{"a", parameter({5}, 1), true}, {"b", parameter({5}, 2), true}};
  const at::Tensor before = entries[1].parameter.detach().clone();
  set_gradient(entries[0].parameter, 3);
  AdamW optimizer(config, entries);
  optimizer.step(0.1, 1);
  EXPECT_TRUE(at::equal(entries[1].parameter.detach(), before));
}

TEST(AdamW, GoesOnFromSavedMomentsBitForBit) {
  const test::TemporaryFolder folder;
  TrainConfig config;
  std::vector<AdamW::Entry> unbroken{{"x", parameter({40, 7}, 1), true}, {"y", parameter({11}, 2), false}};
  std::vector<AdamW::Entry> resumed = unbroken;
  AdamW first(config, unbroken);
  const auto advance = [](AdamW& optimizer, std::vector<AdamW::Entry>& entries, std::uint64_t step) {
    for (auto& entry : entries) set_gradient(entry.parameter, step);
    optimizer.step(0.01, 1);
  };
  for (std::uint64_t step = 0; step < 3; ++step) advance(first, unbroken, step);
  write_safetensors(folder / "optimizer.safetensors", first.state());
  for (auto& entry : resumed) entry.parameter = entry.parameter.detach().clone().set_requires_grad(true);
  AdamW second(config, resumed);
  second.load(SafetensorsFile(folder / "optimizer.safetensors"), 3);
  for (std::uint64_t step = 3; step < 6; ++step) {
    advance(first, unbroken, step);
    advance(second, resumed, step);
  }
  for (std::size_t i = 0; i < 2; ++i) EXPECT_TRUE(at::equal(unbroken[i].parameter, resumed[i].parameter));

  std::vector<AdamW::Entry> other{{"x", parameter({7, 40}, 1), true}, {"y", parameter({11}, 2), false}};
  AdamW wrong(config, other);
  const std::string message =
      error_of([&] { wrong.load(SafetensorsFile(folder / "optimizer.safetensors"), 3); });
  EXPECT_NE(message.find("m.x: expected the shape of its parameter, [7, 40], got [40, 7]"), std::string::npos)
      << message;
  other.pop_back();
  AdamW fewer(config, other);
  const std::string count =
      error_of([&] { fewer.load(SafetensorsFile(folder / "optimizer.safetensors"), 3); });
  EXPECT_NE(count.find("expected 2 tensors, two for each parameter, got 4"), std::string::npos) << count;
}

TEST(GradientNorm, IsTheSameForAnyNumberOfThreads) {
  std::vector<at::Tensor> parameters{parameter({300, 401}, 1), parameter({7}, 2), parameter({3}, 3)};
  set_gradient(parameters[0], 4);
  set_gradient(parameters[1], 5);
  const double expected = std::sqrt(parameters[0].grad().to(at::kDouble).square().sum().item<double>() +
                                    parameters[1].grad().to(at::kDouble).square().sum().item<double>());
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const double one = gradient_norm(parameters);
  at::set_num_threads(4);
  const double four = gradient_norm(parameters);
  at::set_num_threads(threads);
  EXPECT_EQ(one, four);
  EXPECT_NEAR(one, expected, 1e-9 * expected);
  parameters[0].mutable_grad() = parameters[0].grad().t().contiguous().t();  // strided
  EXPECT_NEAR(gradient_norm(parameters), expected, 1e-9 * expected);
  parameters[1].mutable_grad()[2] = std::nan("");
  EXPECT_TRUE(std::isnan(gradient_norm(parameters)));
}

TEST(ClipFactor, ScalesDownToTheLimitOnly) {
  EXPECT_EQ(clip_factor(0.5, 1), 1);
  EXPECT_EQ(clip_factor(1, 1), 1);
  EXPECT_EQ(clip_factor(4, 1), 0.25);
  EXPECT_EQ(clip_factor(4, 0), 1) << "no limit";
  EXPECT_EQ(clip_factor(0, 1), 1);
}

TEST(Clipping, LimitsTheGlobalNorm) {
  // With eps large against the gradients, one step moves parameters in proportion to the clipped gradient.
  TrainConfig config;
  config.eps = 1;
  config.weight_decay = 0;
  std::vector<AdamW::Entry> entries{{"a", at::zeros({2}).set_requires_grad(true), true}};
  entries[0].parameter.mutable_grad() = at::tensor({3e-3F, 4e-3F});
  AdamW optimizer(config, entries);
  const double norm = gradient_norm({entries[0].parameter});
  EXPECT_NEAR(norm, 5e-3, 1e-9);
  optimizer.step(1, clip_factor(norm, 1e-3));
  EXPECT_NEAR(entries[0].parameter[0].item<double>(), -6e-4, 1e-6);
  EXPECT_NEAR(entries[0].parameter[1].item<double>(), -8e-4, 1e-6);
}

}  // namespace
}  // namespace ecp
