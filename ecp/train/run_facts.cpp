#include "ecp/train/run_facts.h"

#include <chrono>
#include <ctime>
#include <nlohmann/json.hpp>

#include "ecp/base/error.h"
#include "ecp/base/system.h"
#include "ecp/config/attention_plan.h"
#include "ecp/config/parameters.h"

namespace ecp {
namespace {

constexpr std::size_t largest_facts = 16 << 20;

std::string utc_now() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

nlohmann::ordered_json start(const RunFacts& facts, const Build& build) {
  return {{"step", facts.resumed_from.value_or(0)},
          {"time", utc_now()},
          {"version", build.version},
          {"commit", build.commit},
          {"cpu", cpu_name()},
          {"instruction_sets", build.instruction_sets},
          {"threads", facts.threads},
          {"device", facts.device},
          {"dtype", facts.dtype},
          {"activation_checkpointing", facts.activation_checkpointing}};
}

}  // namespace

RunFacts run_facts(const Task& task, int threads) {
  const Config& config = task.config();
  const std::int64_t n = config.model.sequence;
  RunFacts facts;
  facts.parameters = parameter_count(config.model);
  facts.parameters_without_embeddings = parameter_count(config.model, true);
  require(!__builtin_mul_overflow(config.train.batch * config.train.accumulation, n, &facts.tokens_per_step),
          "train.batch: {} windows of {} tokens, {} times, overflow", config.train.batch, n,
          config.train.accumulation);
  facts.trained_per_step = config.train.batch * config.train.accumulation * task.trained_per_sample();
  facts.tokens_per_epoch = task.tokens_per_epoch();
  facts.unit = task.unit();
  facts.visible_entries =
      attention_entries(config.model, n).visible / (config.model.layers * config.model.heads);
  facts.visible_entries_full = Pattern::full().entries(n).visible;
  facts.device = "cpu";
  facts.dtype = config.train.dtype;
  facts.threads = threads;
  facts.activation_checkpointing = task.recomputes();
  return facts;
}

void write_run_facts(const Path& path, const RunFacts& facts, const Task& task, const Build& build) {
  nlohmann::ordered_json json;
  if (facts.resumed_from && std::filesystem::exists(path)) {
    json = nlohmann::ordered_json::parse(read_small_file(path, largest_facts), nullptr, false);
    require(json.is_object() && json.contains("starts") && json["starts"].is_array(),
            "{}: expected the facts of an ecp run", path.string());
  } else {
    json = {{"format", "ecp-run"},
            {"version", 1},
            {"parameters", facts.parameters},
            {"parameters_without_embeddings", facts.parameters_without_embeddings},
            {"tokens_per_step", facts.tokens_per_step},
            {"trained_per_step", facts.trained_per_step},
            {"visible_entries", facts.visible_entries},
            {"visible_entries_full", facts.visible_entries_full}};
    json.update(task.data_facts());
    json["starts"] = nlohmann::ordered_json::array();
  }
  json["starts"].push_back(start(facts, build));
  write_file(path, json.dump(2) + "\n");
}

}  // namespace ecp
