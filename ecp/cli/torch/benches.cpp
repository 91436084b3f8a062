#include "ecp/cli/torch/benches.h"

#include <ATen/Parallel.h>
#include <fmt/core.h>
#include <sys/resource.h>
#include <torch/torch.h>

#include <chrono>
#include <memory>

#include "ecp/base/error.h"
#include "ecp/base/system.h"
#include "ecp/config/attention_plan.h"
#include "ecp/config/complexity.h"
#include "ecp/model/cross_entropy.h"
#include "ecp/ops/blas.h"
#include "ecp/ops/interval_attention.h"
#include "ecp/ops/onednn_weight.h"
#include "ecp/train/synthetic_training.h"

namespace ecp::cli {
namespace {

const char* name_of_type(bool bfloat16) { return bfloat16 ? "bfloat16" : "float32"; }

template <class Run>
double seconds_of(const Run& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// A product of a library: what a machine does without this program's kernels.
class Product {
 public:
  /// Fails where there are no kernels for bfloat16.
  explicit Product(bool bfloat16) {
    const at::Tensor weight = at::randn({columns, inner});
    x_ = at::randn({rows, inner}).to(bfloat16 ? at::kBFloat16 : at::kFloat);
    y_ = at::zeros({rows, columns});
    if (bfloat16) {
      packed_.emplace(columns, inner).assign(weight.const_data_ptr<float>());
    } else {
      weight_ = weight;
    }
  }

  void multiply() {
    float* y = y_.mutable_data_ptr<float>();
    if (packed_) {
      packed_->forward(rows, {static_cast<const std::uint16_t*>(x_.const_data_ptr()), inner}, nullptr,
                       {y, columns, true});
    } else {
      ops::gemm(rows, columns, inner, 1.0f, {x_.const_data_ptr<float>(), inner},
                {weight_.const_data_ptr<float>(), inner, true}, 0.0f, {y, columns});
    }
  }
  static constexpr double operations() { return 2.0 * rows * inner * columns; }

 private:
  static constexpr std::int64_t rows = 2048, inner = 768, columns = 3072;
  at::Tensor x_, y_, weight_;
  std::optional<ops::OneDnnWeight> packed_;
};

/// A Bench that lacks its works.
Bench beside_products(bool bfloat16, std::string about) {
  const auto product = std::make_shared<Product>(bfloat16);
  Bench bench;
  bench.about =
      fmt::format("{}, {}, {} threads", std::move(about), name_of_type(bfloat16), at::get_num_threads());
  bench.unit = "FLOP/s";
  bench.ceiling = {"matrix product", Product::operations(), 0, 5, [product](int repeats) {
                     return Timing{seconds_of([&] {
                                     for (int i = 0; i < repeats; ++i) product->multiply();
                                   }),
                                   {}};
                   }};
  return bench;
}

Pattern pattern_of(const AttentionBench& options) {
  ModelConfig config;
  config.architecture = options.architecture;
  config.heads = options.heads;
  config.dim = options.heads * options.width;
  config.sequence = options.sequence;
  config.block = config.window = options.block;
  const LayerPlan plan = layer_plan(config, 0, options.sequence);
  require(plan.calls.size() == 1, "architecture '{}': expected one whose layers are one call of the operator",
          options.architecture);
  return plan.calls.front().pattern;
}

class AttentionInputs {
 public:
  explicit AttentionInputs(const AttentionBench& options) : pattern_(pattern_of(options)) {
    const at::ScalarType type = options.bfloat16 ? at::kBFloat16 : at::kFloat;
    const auto random = [&] {
      return options.head_major
                 ? at::randn({options.batch, options.heads, options.sequence, options.width}, type)
                       .transpose(1, 2)
                 : at::randn({options.batch, options.sequence, options.heads, options.width}, type);
    };
    for (at::Tensor* t : {&q_, &k_, &v_}) *t = random().detach().set_requires_grad(true);
    gradient_ = random();
    before_ = resident_memory();
  }

  Timing forward(int repeats) {
    return {seconds_of([&] {
              for (int i = 0; i < repeats; ++i) run();
            }),
            memory()};
  }
  Timing backward(int repeats) {
    double seconds = 0;
    for (int i = 0; i < repeats; ++i) {
      run();
      for (at::Tensor* t : {&q_, &k_, &v_}) t->mutable_grad().reset();
      seconds += seconds_of([&] { out_.backward(gradient_); });
    }
    return {seconds, memory()};
  }
  [[nodiscard]] double visible() const {
    return static_cast<double>(pattern_.entries(q_.size(1)).visible) *
           static_cast<double>(q_.size(0) * q_.size(2) * q_.size(3));
  }

 private:
  void run() { out_ = ops::interval_attention(q_, k_, v_, pattern_).out; }
  [[nodiscard]] std::vector<std::pair<std::string, double>> memory() const {
    return {{"memory", static_cast<double>(peak_memory()) - static_cast<double>(before_)}};
  }

  Pattern pattern_;
  at::Tensor q_, k_, v_, gradient_, out_;
  std::uint64_t before_ = 0;
};

}  // namespace

Bench bench_attention(const AttentionBench& options) {
  Bench bench = beside_products(
      options.bfloat16,
      fmt::format("{}, block or window {}, sequence {}, {} heads of width {}, batch {}", options.architecture,
                  options.block, options.sequence, options.heads, options.width, options.batch));
  bench.ceiling.run(1);  // what it takes of memory is not attention's
  const auto inputs = std::make_shared<AttentionInputs>(options);
  const double visible = inputs->visible();
  const auto tokens = static_cast<double>(options.batch * options.sequence);
  bench.works = {
      {"forward", 4 * visible, tokens, 2, [inputs](int repeats) { return inputs->forward(repeats); }},
      {"backward", 10 * visible, tokens, 2, [inputs](int repeats) { return inputs->backward(repeats); }}};
  return bench;
}

Bench bench_train(const Config& config) {
  const ModelConfig& model = config.model;
  const auto training = std::make_shared<SyntheticTraining>(config);
  const double tokens = training->tokens_per_step();
  // Each product has two gradients.
  const double operations =
      3 * complexity(model, model.sequence).flops.forward() * tokens / static_cast<double>(model.sequence);
  Bench bench =
      beside_products(config.train.dtype == "bfloat16",
                      fmt::format("{}, preset {}, d {}, L {}, H {}, n {}, block {}, vocabulary {}, batch {}",
                                  model.architecture, model.preset, model.dim, model.layers, model.heads,
                                  model.sequence, model.block, model.vocab, config.train.batch));
  bench.works = {{"step", operations, tokens, 1, [training](int steps) {
                    const double cpu = cpu_seconds();
                    double loss = 0;
                    const double seconds = seconds_of([&] {
                      for (int i = 0; i < steps; ++i) loss = training->step();
                    });
                    return Timing{seconds, {{"loss", loss}, {"cpu_seconds", (cpu_seconds() - cpu) / steps}}};
                  }}};
  return bench;
}

Bench bench_loss(const LossBench& options) {
  struct Inputs {
    at::Tensor hidden, targets;
    Linear classifier;
  };
  const auto inputs = std::make_shared<Inputs>();
  inputs->hidden = at::randn({options.tokens, options.dim}).set_requires_grad(true);
  inputs->targets = at::randint(options.vocab, {options.tokens}, at::kLong);
  inputs->classifier = Linear((0.02 * at::randn({options.vocab, options.dim})).set_requires_grad(true), {});
  const double product = 2.0 * static_cast<double>(options.tokens) * static_cast<double>(options.dim) *
                         static_cast<double>(options.vocab);
  const auto tokens = static_cast<double>(options.tokens);
  const bool bfloat16 = options.bfloat16;
  Bench bench = beside_products(bfloat16, fmt::format("{} tokens, width {}, vocabulary {}", options.tokens,
                                                      options.dim, options.vocab));
  bench.works = {{"loss", product, tokens, 1,
                  [inputs, bfloat16](int repeats) {
                    const at::NoGradGuard no_gradients;
                    return Timing{seconds_of([&] {
                                    for (int i = 0; i < repeats; ++i) {
                                      linear_negative_log_likelihood(inputs->hidden, inputs->classifier,
                                                                     inputs->targets, bfloat16);
                                    }
                                  }),
                                  {}};
                  }},
                 {"loss_and_gradients", 3 * product, tokens, 1, [inputs, bfloat16](int repeats) {
                    return Timing{seconds_of([&] {
                                    for (int i = 0; i < repeats; ++i) {
                                      linear_cross_entropy(inputs->hidden, inputs->classifier,
                                                           inputs->targets, bfloat16)
                                          .backward();
                                    }
                                  }),
                                  {}};
                  }}};
  return bench;
}

}  // namespace ecp::cli
