#include "ecp/experiment/comparison_plan.h"

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "ecp/base/error.h"
#include "ecp/config/config_file.h"
#include "ecp/config/run_settings.h"
#include "ecp/experiment/run_log.h"
#include "ecp/experiment/settings.h"
#include "ecp/text/same_tokenizer.h"
#include "ecp/text/token_file.h"
#include "ecp/weights/run_checkpoints.h"

namespace ecp {
namespace {

constexpr std::size_t largest_file = 16 << 20;
constexpr std::size_t largest_metrics = std::size_t{4} << 30;

std::vector<Facts> facts_of(const Config& config) { return parse_resolved_config(to_toml(config), "config"); }

std::string resolved(const Config& config, const char* name) {
  for (const Facts& section : facts_of(config)) {
    for (const auto& [key, value] : section.rows) {
      if (section.section + "." + key == name) return value;
    }
  }
  return "";
}

PlannedModel plan_model(const ComparedModel& model, const ComparisonConfig& comparison,
                        const std::vector<std::string>& overrides) {
  std::vector<std::string> all = comparison.set;
  all.insert(all.end(), model.set.begin(), model.set.end());
  all.insert(all.end(), overrides.begin(), overrides.end());
  PlannedModel result;
  result.name = model.name;
  result.source = model.source.empty() ? model.config : model.source;
  for (const std::string& one : all) result.source += " " + one;
  result.config = read_config(model.config, all);
  return result;
}

/// Steps from the budget, or the budget from the steps.
void plan_budget(PlannedModel& model, std::int64_t tokens) {
  TrainConfig& train = model.config.train;
  std::int64_t step = 0;
  require(!__builtin_mul_overflow(train.batch * train.accumulation, model.config.model.sequence, &step) &&
              !__builtin_mul_overflow(tokens > 0 ? 1 : train.steps, step, &model.tokens),
          "'{}': train.steps of train.batch windows overflow", model.name);
  if (tokens > 0) {
    train.minutes = 0;
    train.steps = tokens / step + (tokens % step > 0 ? 1 : 0);
    require(!__builtin_mul_overflow(train.steps, step, &model.tokens), "'{}': {} tokens overflow", model.name,
            tokens);
  }
  require(train.minutes == 0,
          "'{}': train.minutes: expected 0, got {}: a comparison has a budget of tokens (--tokens)",
          model.name, train.minutes);
}

void require_same_data(const std::vector<PlannedModel>& models, bool has_budget) {
  const PlannedModel& first = models.front();
  for (const PlannedModel& model : models)
    require(!model.config.data.train.empty(),
            "'{}': data.train: expected token files: a comparison is of language models of text", model.name);
  require(!first.config.data.validation.empty(),
          "'{}': data.validation: expected a token file, by which a run's best checkpoint is chosen",
          first.name);
  for (const PlannedModel& model : models) {
    for (const char* name :
         {"data.train", "data.weights", "data.validation", "data.cross_documents", "eval.tokens"}) {
      const std::string expected = resolved(first.config, name), got = resolved(model.config, name);
      require(got == expected, "'{}': {}: expected {} as in '{}', got {} (--set {}=... sets it for all)",
              model.name, name, expected, first.name, got, name);
    }
    require(has_budget || model.tokens == first.tokens,
            "'{}' would process {} tokens and '{}' {}: expected the same, or --tokens", model.name,
            model.tokens, first.name, first.tokens);
  }
}

void plan_scoring(std::vector<PlannedModel>& models) {
  std::int64_t rows = INT64_MAX;
  for (const PlannedModel& model : models)
    rows = std::min(rows, model.config.model.trained_rows(model.config.model.sequence));
  for (PlannedModel& model : models) {
    const std::int64_t n = model.config.model.sequence;
    model.trained = model.tokens / n * model.config.model.trained_rows(n);
    model.scored_rows = std::min(rows, n);
    model.context = std::max(n / 2, n - model.scored_rows);
    model.config.eval.context = model.context;
  }
}

void plan_texts(ComparisonPlan& plan, const std::vector<std::string>& tests) {
  const DataConfig& data = plan.models.front().config.data;
  const TokenFile first(data.train.front());
  for (std::size_t i = 1; i < data.train.size(); ++i) require_same_tokenizer(TokenFile(data.train[i]), first);
  require_same_tokenizer(TokenFile(data.validation), first);
  plan.on_validation = tests.empty();
  for (const std::string& path : tests.empty() ? std::vector{data.validation} : tests) {
    const TokenFile file(path);
    require_same_tokenizer(file, first);
    const TokenFileInfo& info = file.info();
    const std::string name = Path(path).stem().string();
    for (const PlannedText& other : plan.texts) {
      require(other.name != name, "test files '{}' and '{}': expected names that tell them apart",
              other.path.string(), path);
    }
    require(name != "baselines", "test file '{}': expected another name, evaluations/baselines.json is taken",
            path);
    plan.texts.push_back({name, path, info.hash, info.tokens, info.words, info.bytes});
  }
  for (PlannedModel& model : plan.models) {
    std::int64_t& vocab = model.config.model.vocab;
    require(vocab == 0 || vocab == first.info().vocab_size,
            "'{}': model.vocab: expected the {} tokens of the tokenizer of '{}' (or 0), got {}", model.name,
            first.info().vocab_size, first.path().string(), vocab);
    vocab = first.info().vocab_size;
  }
}

/// Fails if there is a run that was made otherwise.
void require_same_run(const ComparisonPlan& plan, const PlannedRun& run) {
  const Path file = run.folder / "config.toml";
  std::error_code error;
  if (!std::filesystem::exists(file, error)) return;
  const Config stored = read_config(file);
  const Config asked = left_to_run(plan.config_of(run), stored);
  const auto differing = differing_settings({facts_of(stored), facts_of(asked)});
  for (const SettingRow& row : differing) {
    if (std::find(without_effect.begin(), without_effect.end(), row.name) != without_effect.end()) continue;
    fail("'{}' was made with {} = {}, and {} is asked for: choose another --output, or delete that run",
         run.folder.string(), row.name, row.values[0], row.values[1]);
  }
}

/// What an evaluation must say to count.
nlohmann::ordered_json scored_as(const ComparisonPlan& plan, const PlannedRun& run, const PlannedText& text) {
  const PlannedModel& model = plan.models[run.model];
  std::error_code error;
  const Path best = std::filesystem::read_symlink(run.folder / "checkpoints/best", error);
  return {{"data_hash", text.hash},
          {"step", checkpoint_step(best.filename().string()).value_or(-1)},
          {"window", model.config.model.sequence},
          {"context", model.context},
          {"scored_rows", model.scored_rows}};
}

}  // namespace

Path ComparisonPlan::config_file(const PlannedModel& model) const {
  return folder / "configs" / (model.name + ".toml");
}

Path ComparisonPlan::evaluation_file(const PlannedRun& run, const PlannedText& text) const {
  return run.folder / "evaluations" / (text.name + ".json");
}

Config ComparisonPlan::config_of(const PlannedRun& run) const {
  Config config = models[run.model].config;
  config.train.seed = run.seed;
  return config;
}

RunStage ComparisonPlan::stage_of(const PlannedRun& run) const {
  std::error_code error;
  if (!std::filesystem::exists(run.folder / "config.toml", error)) return RunStage::absent;
  const Path last = std::filesystem::read_symlink(run.folder / "checkpoints/last", error);
  const Path metrics = run.folder / "metrics.jsonl";
  const std::int64_t steps = models[run.model].config.train.steps;
  if (error || checkpoint_step(last.filename().string()).value_or(-1) < steps ||
      !std::filesystem::exists(metrics, error))
    return RunStage::begun;
  // Of the last step the evaluation may still be missing.
  const RunLog log = parse_metrics(read_small_file(metrics, largest_metrics), metrics.string());
  if (log.eval.empty() || log.eval.back().step < steps) return RunStage::begun;
  const bool scored =
      std::all_of(texts.begin(), texts.end(), [&](const PlannedText& text) { return is_scored(run, text); });
  return scored ? RunStage::scored : RunStage::trained;
}

bool ComparisonPlan::is_scored(const PlannedRun& run, const PlannedText& text) const {
  const Path file = evaluation_file(run, text);
  std::error_code error;
  if (!std::filesystem::exists(file, error)) return false;
  const auto json = nlohmann::json::parse(read_small_file(file, largest_file), nullptr, false);
  if (!json.is_object()) return false;
  const nlohmann::ordered_json wanted = scored_as(*this, run, text);
  for (const auto& [key, value] : wanted.items()) {
    if (!json.contains(key) || json[key] != nlohmann::json(value)) return false;
  }
  return true;
}

ComparisonPlan plan_comparison(const Path& folder, const ComparisonConfig& comparison,
                               const std::vector<std::string>& overrides) {
  comparison.validate();
  ComparisonPlan plan;
  plan.folder = folder;
  plan.seeds = comparison.seeds;
  for (const ComparedModel& model : comparison.models) {
    plan.models.push_back(plan_model(model, comparison, overrides));
    plan_budget(plan.models.back(), comparison.tokens);
  }
  require_same_data(plan.models, comparison.tokens > 0);
  plan_scoring(plan.models);
  plan_texts(plan, comparison.test);
  for (const std::int64_t seed : plan.seeds) {
    for (std::size_t i = 0; i < plan.models.size(); ++i) {
      const std::string name = fmt::format("{}-seed{}", plan.models[i].name, seed);
      plan.runs.push_back({i, seed, name, folder / "runs" / name, folder / "logs" / (name + ".log")});
      require_same_run(plan, plan.runs.back());
    }
  }
  return plan;
}

ComparisonConfig stored_comparison(const Path& folder) {
  const Path file = folder / "comparison.toml";
  std::error_code error;
  require(std::filesystem::exists(file, error),
          "'{}': expected comparison.toml in it; name the configurations to be compared", folder.string());
  ComparisonConfig config = parse_comparison(read_small_file(file, largest_file), file.string());
  for (ComparedModel& model : config.models)
    model.config = (folder / "configs" / (model.name + ".toml")).string();
  return config;
}

void store_plan(const ComparisonPlan& plan, std::int64_t tokens) {
  make_folders(plan.folder / "configs");
  make_folders(plan.folder / "runs");
  make_folders(plan.folder / "logs");
  ComparisonConfig config;
  config.tokens = tokens;
  config.seeds = plan.seeds;
  if (!plan.on_validation) {
    for (const PlannedText& text : plan.texts) config.test.push_back(text.path.string());
  }
  for (const PlannedModel& model : plan.models) {
    const Path file = plan.config_file(model);
    write_file(file, fmt::format("# {}\n{}", printable(model.source), to_toml(model.config)));
    config.models.push_back({model.name, file.string(), {}, model.source});
  }
  write_file(plan.folder / "comparison.toml", to_toml(config));
}

void record_scored(const ComparisonPlan& plan, const PlannedRun& run, const PlannedText& text) {
  const Path file = plan.evaluation_file(run, text);
  auto json = nlohmann::ordered_json::parse(read_small_file(file, largest_file), nullptr, false);
  require(json.is_object(), "{}: expected a JSON object", file.string());
  const nlohmann::ordered_json wanted = scored_as(plan, run, text);
  for (const char* key : {"window", "context"}) {
    require(json.contains(key) && json[key] == wanted[key], "{}: {}: expected {}", file.string(), key,
            wanted[key].dump());
  }
  json.update(wanted);
  write_file(file, json.dump(2) + "\n");
}

}  // namespace ecp
