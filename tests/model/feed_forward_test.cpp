// The fused feed-forward against its formula in float64, forward and backward, over several of its chunks.
#include "ecp/model/feed_forward.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "ecp/kernels/dropout.h"
#include "tests/model/model_fixture.h"

namespace ecp {
namespace {

using namespace ecp::test;

constexpr std::int64_t batch = 2, window = 37, dim = 6;
constexpr std::int64_t wide = 40'000;  // so wide that a chunk is 32 rows: 74 rows are two chunks and a part

struct Case {
  std::string ffn;
  bool bias;
  std::int64_t inner;
  double dropout;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const char* ffn : {"gelu", "swiglu"}) {
    for (const bool bias : {false, true}) {
      for (const std::int64_t inner : {std::int64_t{1}, std::int64_t{21}, wide}) {
        for (const double dropout : {0.0, 0.3}) all.push_back({ffn, bias, inner, dropout});
      }
    }
  }
  return all;
}

std::map<std::string, at::Tensor> make_weights(const Case& c) {
  std::map<std::string, at::Tensor> all;
  const double scale = 1 / std::sqrt(static_cast<double>(c.inner));
  for (const std::string name : {"up", "gate", "down"}) {
    if (name == "gate" && c.ffn != "swiglu") continue;
    const bool down = name == "down";
    all[name + ".weight"] = down ? scale * at::randn({dim, c.inner}) : at::randn({c.inner, dim});
    if (c.bias) all[name + ".bias"] = at::randn({down ? dim : c.inner});
  }
  return all;
}

/// Dropout's factors [batch, window, inner], one by one from the definition.
at::Tensor factors(const ops::DropoutKey& key, std::int64_t inner) {
  at::Tensor all = at::empty({batch, window, inner}, at::kDouble);
  const std::uint32_t threshold = kernels::dropout_threshold(key.probability);
  const double kept = 1 / kernels::kept_share(key.probability);
  double* to = all.mutable_data_ptr<double>();
  for (std::int64_t b = 0; b < batch; ++b) {
    const auto stream = kernels::dropout_stream(key.seed, key.step, key.samples[static_cast<std::size_t>(b)],
                                                key.layer, kernels::DropoutSite::feed_forward, 0);
    for (std::int64_t i = 0; i < window * inner; ++i) {
      *to++ = kernels::drops(stream, i / inner, i % inner, threshold) ? 0 : kept;
    }
  }
  return all;
}

at::Tensor formula(const Case& c, const at::Tensor& x, const std::map<std::string, at::Tensor>& weights,
                   const at::Tensor& kept) {
  const auto linear = [&](const at::Tensor& rows, const std::string& name) {
    const at::Tensor y = at::matmul(rows, weights.at(name + ".weight").t());
    return c.bias ? y + weights.at(name + ".bias") : y;
  };
  const at::Tensor up = linear(x, "up");
  if (c.ffn == "gelu") return linear(up * 0.5 * (1 + at::erf(up / std::sqrt(2.0))) * kept, "down");
  const at::Tensor gate = linear(x, "gate");
  return linear(gate * at::sigmoid(gate) * up * kept, "down");
}

struct Result {
  at::Tensor y;
  std::map<std::string, at::Tensor> grads;
};

void expect_near(const Result& got, const Result& want, double bound) {
  const auto near = [&](const at::Tensor& a, const at::Tensor& b, const std::string& what) {
    EXPECT_LE((a.to(at::kDouble) - b).norm().item<double>(), bound * b.norm().item<double>()) << what;
  };
  near(got.y, want.y, "y");
  ASSERT_EQ(got.grads.size(), want.grads.size());
  for (const auto& [name, grad] : want.grads) near(got.grads.at(name), grad, name);
}

TEST(FeedForward, EqualsItsFormulaForwardAndBackward) {
  torch::manual_seed(11);
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.ffn + (c.bias ? " bias " : " ") + std::to_string(c.inner) + " dropout " +
                 std::to_string(c.dropout));
    ModelConfig config = small("full", "paper");
    config.ffn = c.ffn;
    const auto values = make_weights(c);
    const at::Tensor input = at::randn({batch, window, dim}), grad = at::randn({batch, window, dim});
    const ops::DropoutKey key{c.dropout, 7, 3, 1, {5, 9}};
    ForwardContext context;
    context.training = true;
    context.seed = key.seed;
    context.step = key.step;
    context.samples = key.samples;

    const auto run = [&](at::ScalarType dtype, bool bfloat16, bool by_formula) {
      std::map<std::string, at::Tensor> weights;
      Weights table;
      for (const auto& [name, value] : values) {
        weights[name] = value.to(dtype).detach().clone().requires_grad_();
        table.add(name, weights[name]);
      }
      const at::Tensor x = (bfloat16 ? input.to(at::kBFloat16) : input.to(dtype)).detach().requires_grad_();
      context.bfloat16 = bfloat16;
      const LayerContext layer_context{context, {}, {}, std::nullopt, c.dropout};
      const FeedForward layer(table, "", config, key.layer);
      const auto forward = [&] {
        return by_formula ? formula(c, x, weights, factors(key, c.inner)) : layer(x, layer_context);
      };
      Result result{forward(), {}};
      result.y.backward(grad.to(result.y.scalar_type()));
      result.grads["x"] = x.grad();
      for (const auto& [name, tensor] : weights) result.grads[name] = tensor.grad();
      if (!by_formula) {
        EXPECT_EQ(result.grads["x"].scalar_type(), x.scalar_type());
        const at::NoGradGuard no_grad;  // keeps nothing, and gives the same
        EXPECT_TRUE(at::equal(forward(), result.y));
      }
      result.y = result.y.detach();
      return result;
    };
    const Result want = run(at::kDouble, false, true);
    expect_near(run(at::kFloat, false, false), want, 2e-6);
    // A lone inner element has sums over rows that cancel, which says nothing about rounded terms.
    if (c.inner > 1) expect_near(run(at::kFloat, true, false), want, 0.02);
  }
}

}  // namespace
}  // namespace ecp
