#include "ecp/cli/torch/train_plan.h"

#include <ATen/Parallel.h>
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "ecp/base/system.h"
#include "ecp/cli/terminal.h"
#include "ecp/machine/rates.h"
#include "ecp/train/plan.h"
#include "ecp/train/synthetic_training.h"
#include "ecp/train/task.h"

namespace ecp::cli {
namespace {

struct Trial {
  double tokens_per_second = 0;
  std::uint64_t peak_memory = 0;
};

/// Steps on random tokens; nothing for images, or where they would take long or more memory than is free.
std::optional<Trial> try_out(Config config, const PlanRow& row) {
  constexpr double most_seconds = 20;
  config = planned(std::move(config), row);
  config.train.accumulation = 1;
  const double tokens = static_cast<double>(config.train.batch) * static_cast<double>(config.model.sequence);
  const auto free = static_cast<double>(free_memory());
  const bool too_large = free > 0 && row.memory.total() > free;
  if (config.model.classes > 0 || too_large || 2 * tokens > most_seconds * row.tokens_per_second) {
    return std::nullopt;
  }
  SyntheticTraining training(config);
  training.step();  // the first one allocates and chooses kernels
  const auto start = std::chrono::steady_clock::now();
  training.step();
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
  return Trial{tokens / time.count(), peak_memory()};
}

std::string gigabytes(double bytes) { return fmt::format("{:.2f}", bytes * 1e-9); }

std::string settings_of(const PlanRow& row) {
  return fmt::format("train.batch = {}, train.accumulation = {}, train.activation_checkpointing = \"{}\"",
                     row.batch, row.accumulation, row.recompute ? "on" : "off");
}

void print_json(const TrainingPlan& plan, double limit, const std::optional<Trial>& trial) {
  nlohmann::ordered_json json = {{"memory_limit", limit}, {"rows", nlohmann::ordered_json::array()}};
  for (const PlanRow& row : plan.rows) {
    json["rows"].push_back({{"batch", row.batch},
                            {"accumulation", row.accumulation},
                            {"activation_checkpointing", row.recompute},
                            {"memory", row.memory.total()},
                            {"tokens_per_second", row.tokens_per_second},
                            {"fits", row.fits}});
  }
  json["suggestion"] = plan.best < 0 ? nlohmann::ordered_json() : nlohmann::ordered_json(plan.best);
  if (trial)
    json["tried"] = {{"tokens_per_second", trial->tokens_per_second}, {"peak_memory", trial->peak_memory}};
  fmt::print("{}\n", json.dump());
}

void print_table(const TrainingPlan& plan, double limit, const std::optional<Trial>& trial) {
  std::vector<std::vector<std::string>> table = {{"batch", "accumulation", "checkpointing", "GB", "weights",
                                                  "packed", "activations", "tokens/s", "fits"}};
  for (const PlanRow& row : plan.rows) {
    table.push_back(
        {std::to_string(row.batch), std::to_string(row.accumulation), row.recompute ? "on" : "off",
         gigabytes(row.memory.total()), gigabytes(row.memory.weights), gigabytes(row.memory.packed),
         gigabytes(row.memory.activations), format_count(row.tokens_per_second), row.fits ? "yes" : "no"});
  }
  fmt::print("{}", format_table(table));
  if (limit > 0) fmt::print("limit: {} GB\n", gigabytes(limit));
  if (plan.best < 0) {
    fmt::print("nothing fits: try a smaller model.dim, model.layers or model.sequence\n");
    return;
  }
  fmt::print("suggestion: {}\n", settings_of(plan.rows[static_cast<std::size_t>(plan.best)]));
  if (trial) {
    fmt::print("tried on random tokens: {} tokens/s, {} GB at the peak\n",
               format_count(trial->tokens_per_second), gigabytes(static_cast<double>(trial->peak_memory)));
  }
}

}  // namespace

void show_plan(const Config& given, bool json) {
  const Config config = resolved(given);
  const int threads = config.train.threads > 0 ? static_cast<int>(config.train.threads) : available_cpus();
  at::set_num_threads(threads);
  const bool bfloat16 = config.train.dtype == "bfloat16";
  const double half = bfloat16 ? measure_products(threads, true) : 0;
  const double rate = half > 0 ? half : measure_products(threads, false);
  const double limit = memory_limit(config);
  const TrainingPlan plan = plan_training(config, limit, rate);
  std::optional<Trial> trial;
  if (plan.best >= 0) trial = try_out(config, plan.rows[static_cast<std::size_t>(plan.best)]);
  json ? print_json(plan, limit, trial) : print_table(plan, limit, trial);
  if (plan.best < 0) throw CLI::RuntimeError(1);
}

}  // namespace ecp::cli
