#include "ecp/train/plan.h"

#include "ecp/config/complexity.h"

namespace ecp {
namespace {

/// What training does of the rate of its matrix products: models of width 256 to 768 on two cores.
constexpr double share_of_products = 0.65;

}  // namespace

TrainingPlan plan_training(const Config& config, double limit, double rate) {
  const Complexity cost = complexity(config.model, config.model.sequence);
  const double once = cost.flops.forward() / static_cast<double>(cost.length);
  TrainingPlan plan;
  Config now = config;
  while (true) {
    for (const bool recompute : {false, true}) {
      const std::string& wanted = config.train.activation_checkpointing;
      if (wanted == (recompute ? "off" : "on")) continue;
      PlanRow row{
          now.train.batch, now.train.accumulation, recompute, training_memory(now, recompute), 0, false};
      row.tokens_per_second = share_of_products * rate / (cost.training_per_token() + (recompute ? once : 0));
      row.fits = limit == 0 || row.memory.total() <= limit;
      plan.rows.push_back(row);
      const bool faster =
          plan.best < 0 ||
          row.tokens_per_second > plan.rows[static_cast<std::size_t>(plan.best)].tokens_per_second;
      if (row.fits && faster) plan.best = static_cast<std::int64_t>(plan.rows.size()) - 1;
    }
    if (now.train.batch % 2 != 0) return plan;
    now.train.batch /= 2;
    now.train.accumulation *= 2;
  }
}

Config planned(Config config, const PlanRow& row) {
  config.train.batch = row.batch;
  config.train.accumulation = row.accumulation;
  config.train.activation_checkpointing = row.recompute ? "on" : "off";
  return config;
}

}  // namespace ecp
