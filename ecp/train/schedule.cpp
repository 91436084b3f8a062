#include "ecp/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace ecp {
namespace {

/// How far `value` stands between `from` and `to`, within [0, 1]; 1 for an empty range.
double share(double value, double from, double to) {
  if (to <= from) return 1;
  return std::clamp((value - from) / (to - from), 0.0, 1.0);
}

double factor(const TrainConfig& config, const RunPosition& position) {
  if (config.schedule == "cosine") {
    const double through = share(position.done, position.warmup_done, 1);
    return config.final_lr + (1 - config.final_lr) * 0.5 * (1 + std::cos(std::numbers::pi * through));
  }
  if (config.schedule == "wsd") {
    if (config.decay_fraction <= 0) return 1;
    return 1 - (1 - config.final_lr) * share(position.done, 1 - config.decay_fraction, 1);
  }
  if (config.schedule == "halving") {
    const std::int64_t halvings = std::min<std::int64_t>(position.step / config.halve_every, 2000);
    return std::ldexp(1.0, -static_cast<int>(halvings));
  }
  return 1;
}

}  // namespace

RunPosition position_by_steps(const TrainConfig& config, std::int64_t step) {
  const auto steps = static_cast<double>(config.steps);
  return {step, static_cast<double>(step) / steps, static_cast<double>(config.warmup) / steps};
}

double learning_rate(const TrainConfig& config, const RunPosition& position) {
  if (position.step < config.warmup) {
    const double warm = static_cast<double>(position.step + 1) / static_cast<double>(config.warmup);
    // wsd and halving may already fall while a long warm-up rises; cosine starts where warm-up ends.
    return config.lr * warm * (config.schedule == "cosine" ? 1 : factor(config, position));
  }
  return config.lr * factor(config, position);
}

}  // namespace ecp
