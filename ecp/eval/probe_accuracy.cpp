#include "ecp/eval/probe_accuracy.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>

#include "ecp/base/error.h"

namespace ecp {
namespace {

/// Plus the distance; training's seeds are below 2^62.
constexpr std::uint64_t evaluation_seed = std::uint64_t{1} << 63;

}  // namespace

ProbeBatch::ProbeBatch(const std::vector<ProbeExample>& examples, std::int64_t rows) {
  const auto size = static_cast<std::int64_t>(examples.size());
  const auto n = static_cast<std::int64_t>(examples.front().tokens.size());
  tokens_BN = at::empty({size, n}, at::kLong);
  targets_BR = at::empty({size, rows}, at::kLong);
  auto* tokens = tokens_BN.mutable_data_ptr<std::int64_t>();
  auto* targets = targets_BR.mutable_data_ptr<std::int64_t>();
  for (const ProbeExample& example : examples) {
    tokens = std::copy(example.tokens.begin(), example.tokens.end(), tokens);
    targets = std::copy(example.targets.end() - rows, example.targets.end(), targets);
    asked += std::count_if(example.targets.end() - rows, example.targets.end(),
                           [](std::int64_t target) { return target >= 0; });
  }
}

std::vector<ProbePoint> measure_probe(LanguageModel& model, const Probe& probe, const ProbeOptions& options,
                                      const ProgressFunction& progress) {
  require(options.batch >= 1 && options.examples >= 1 && !options.distances.empty(),
          "evaluation: expected a batch, examples and distances of at least 1");
  require(model.config().vocab == probe.facts().vocab && model.config().sequence == probe.settings().sequence,
          "evaluation: expected a model of {} tokens over {} rows for {}, got {} over {}",
          probe.facts().vocab, probe.settings().sequence, probe.description(), model.config().vocab,
          model.config().sequence);
  const std::int64_t rows = model.config().trained_rows(probe.settings().sequence);
  require(rows >= probe.facts().rows_asking, "evaluation: expected a model with logits for {} rows, got {}",
          probe.facts().rows_asking, rows);
  const at::NoGradGuard no_grad;
  ForwardContext context;
  context.bfloat16 = options.bfloat16;
  const auto all = static_cast<std::uint64_t>(options.examples) * options.distances.size();
  std::uint64_t done = 0;
  std::vector<ProbePoint> result;
  for (const std::int64_t distance : options.distances) {
    ProbePoint point;
    point.distance = distance;
    while (point.examples < options.examples) {
      const std::int64_t size = std::min(options.batch, options.examples - point.examples);
      std::vector<ProbeExample> examples;
      for (std::int64_t i = point.examples; i < point.examples + size; ++i)
        examples.push_back(probe.at(distance, evaluation_seed + static_cast<std::uint64_t>(distance),
                                    static_cast<std::uint64_t>(i)));
      const ProbeBatch batch(examples, rows);
      const at::Tensor targets_BR = batch.targets_BR, asked_BR = targets_BR.ge(0);
      const at::Tensor logits_BRV = model.logits(batch.tokens_BN, context);
      point.loss += at::cross_entropy_loss(logits_BRV.flatten(0, 1), targets_BR.flatten(), {},
                                           at::Reduction::Sum, /*ignore_index=*/-1)
                        .item<double>();
      const at::Tensor right_BR = logits_BRV.argmax(2).eq(targets_BR);
      point.accuracy += right_BR.logical_and(asked_BR).sum().item<double>();
      point.whole += right_BR.logical_or(asked_BR.logical_not()).all(1).sum().item<double>();
      point.answers += batch.asked;
      point.examples += size;
      done += static_cast<std::uint64_t>(size);
      if (progress) progress({"evaluating", done, all, "examples"});
    }
    require(std::isfinite(point.loss),
            "evaluation at distance {}: the loss is {}: the model's weights are damaged or diverged",
            distance, point.loss);
    point.loss /= static_cast<double>(point.answers);
    point.accuracy /= static_cast<double>(point.answers);
    point.whole /= static_cast<double>(point.examples);
    result.push_back(point);
  }
  return result;
}

}  // namespace ecp
