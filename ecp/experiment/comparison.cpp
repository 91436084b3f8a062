#include "ecp/experiment/comparison.h"

#include <algorithm>
#include <set>

#include "ecp/base/error.h"
#include "ecp/base/last_line.h"
#include "ecp/config/attention_plan.h"
#include "ecp/config/complexity.h"
#include "ecp/config/parameters.h"

namespace ecp {
namespace {

constexpr std::string_view error_mark = "ecp: error: ";

/// Why the last program that wrote a log failed; "" if it didn't.
std::string failure_in(const Path& log) {
  const std::string line = last_line(log);
  return line.starts_with(error_mark) ? printable(line.substr(error_mark.size())) : "";
}

void add_figures(ComparedRun& compared) {
  const RunLog& log = compared.run->log;
  if (!log.train.empty()) {
    const TrainPoint& last = log.train.back();
    compared.step = last.step;
    compared.tokens = last.tokens;
    compared.seconds = last.seconds;
    compared.tokens_per_second = last.seconds > 0 ? last.tokens / last.seconds : NAN;
    for (const TrainPoint& point : log.train)
      compared.peak_memory = std::fmax(compared.peak_memory, point.peak_memory);
  }
  for (const EvalPoint& point : log.eval) {
    const double loss = point.figures.loss;
    if (std::isnan(loss) || loss >= compared.validation_loss) continue;
    compared.validation_loss = loss;
    compared.best_step = point.step;
  }
}

ComparedRun read_compared(const ComparisonPlan& plan, const PlannedRun& planned,
                          std::vector<std::string>& notes) {
  ComparedRun result;
  result.planned = planned;
  result.stage = plan.stage_of(planned);
  if (result.stage != RunStage::scored) result.failure = failure_in(planned.log);
  std::error_code error;
  if (result.stage != RunStage::absent && std::filesystem::exists(planned.folder / "metrics.jsonl", error)) {
    try {
      result.run = read_run(planned.folder);
      result.run->name = planned.name;
      add_figures(result);
    } catch (const Error& failure) {
      notes.emplace_back(failure.what());
    }
  }
  for (const PlannedText& text : plan.texts) {
    auto& score = result.scores.emplace_back();
    // What was scored of a run that isn't at its end would say nothing of the budget.
    if (result.stage >= RunStage::trained && plan.is_scored(planned, text))
      score = read_evaluation(plan.evaluation_file(planned, text)).figures;
  }
  return result;
}

template <class Figure>
Spread over_runs(const Comparison& comparison, const ModelResult& model, Figure figure) {
  std::vector<double> values;
  for (const std::size_t run : model.runs) {
    const ComparedRun& one = comparison.runs[run];
    if (one.stage >= RunStage::trained) values.push_back(figure(one));
  }
  return spread_of(values);
}

TextFigures text_figures(const Comparison& comparison, const ModelResult& model, std::size_t text) {
  const auto spread = [&](double EvalFigures::*figure) {
    return over_runs(comparison, model, [&](const ComparedRun& run) {
      return run.scores[text] ? (*run.scores[text]).*figure : NAN;
    });
  };
  return {spread(&EvalFigures::loss), spread(&EvalFigures::perplexity_token),
          spread(&EvalFigures::perplexity_word), spread(&EvalFigures::bits_per_byte),
          spread(&EvalFigures::tokens).mean};
}

ModelResult model_result(const Comparison& comparison, std::size_t index) {
  const ModelConfig& config = comparison.plan.models[index].config.model;
  ModelResult result;
  for (std::size_t i = 0; i < comparison.runs.size(); ++i) {
    if (comparison.runs[i].planned.model == index) result.runs.push_back(i);
  }
  result.parameters = parameter_count(config);
  result.parameters_without_embeddings = parameter_count(config, true);
  const Entries all = attention_entries(config, config.sequence);
  const std::int64_t heads = config.layers * config.heads;
  result.training_flops = complexity(config, config.sequence).training_per_token();
  result.entries = {all.visible / heads, all.dense / heads};
  const auto spread = [&](double ComparedRun::*figure) {
    return over_runs(comparison, result, [&](const ComparedRun& run) { return run.*figure; });
  };
  result.validation_loss = spread(&ComparedRun::validation_loss);
  result.tokens = spread(&ComparedRun::tokens);
  result.seconds = spread(&ComparedRun::seconds);
  result.tokens_per_second = spread(&ComparedRun::tokens_per_second);
  result.peak_memory = spread(&ComparedRun::peak_memory);
  for (std::size_t text = 0; text < comparison.plan.texts.size(); ++text)
    result.texts.push_back(text_figures(comparison, result, text));
  return result;
}

/// The hashes of what a run was trained and validated on.
std::string data_of(const Run& run) {
  std::string hashes;
  for (const Facts& facts : run.facts) {
    for (const auto& [name, value] : facts.rows) {
      if ((name.starts_with("train.") || name.starts_with("validation.")) && name.ends_with(".hash"))
        hashes += name + "=" + value + " ";
    }
  }
  return hashes;
}

void add_notes(Comparison& comparison) {
  std::set<std::string> data, machines;
  for (const ComparedRun& one : comparison.runs) {
    if (!one.failure.empty())
      comparison.notes.push_back(fmt::format("{} failed: {}", one.planned.name, one.failure));
    if (!one.run) continue;
    if (one.run->log.train.empty() || !one.run->facts.empty()) data.insert(data_of(*one.run));
    for (const RunStart& start : one.run->starts) machines.insert(start.program);
    for (const std::string& note : one.run->notes)
      comparison.notes.push_back(fmt::format("{}: {}", one.planned.name, note));
  }
  comparison.machines.assign(machines.begin(), machines.end());
  if (data.size() > 1)
    comparison.notes.emplace_back(
        "The training or validation files changed between the runs (run.json has their hashes): these "
        "figures aren't comparable.");
  if (machines.size() > 1)
    comparison.notes.emplace_back(
        "The runs were made by several programs, processors or numbers of threads: their times and speeds "
        "aren't comparable.");
  for (std::size_t text = 0; text < comparison.plan.texts.size(); ++text) {
    std::set<double> tokens;
    bool lossless = true;
    for (const ComparedRun& run : comparison.runs) {
      if (!run.scores[text]) continue;
      tokens.insert(run.scores[text]->tokens);
      lossless = lossless && run.scores[text]->lossless;
    }
    const std::string& name = comparison.plan.texts[text].name;
    if (tokens.size() > 1)
      comparison.notes.push_back(fmt::format(
          "{}: the models scored different numbers of tokens: these figures aren't comparable.", name));
    if (!lossless)
      comparison.notes.push_back(fmt::format(
          "{}: the tokenizer loses text, which is counted in words and bytes but not paid for.", name));
  }
}

}  // namespace

Spread spread_of(const std::vector<double>& values) {
  Spread spread;
  double sum = 0, squares = 0;
  for (const double value : values) {
    if (std::isnan(value)) continue;
    ++spread.count;
    sum += value;
    spread.least = std::fmin(spread.least, value);
    spread.most = std::fmax(spread.most, value);
  }
  if (spread.count == 0) return spread;
  spread.mean = sum / static_cast<double>(spread.count);
  for (const double value : values) {
    if (!std::isnan(value)) squares += (value - spread.mean) * (value - spread.mean);
  }
  if (spread.count >= 3) spread.deviation = std::sqrt(squares / static_cast<double>(spread.count - 1));
  return spread;
}

Difference difference(const Spread& a, const Spread& b) {
  if (a.count < 2 || b.count < 2) return Difference::unknown;
  const bool beyond = std::fabs(a.mean - b.mean) > std::max(a.range(), b.range());
  return beyond ? Difference::beyond_seeds : Difference::within_seeds;
}

std::vector<std::size_t> Comparison::ranking(std::size_t text) const {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < models.size(); ++i) {
    if (models[i].texts[text].loss.count > 0) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return models[a].texts[text].loss.mean < models[b].texts[text].loss.mean;
  });
  return order;
}

bool Comparison::complete() const {
  return std::all_of(runs.begin(), runs.end(),
                     [](const ComparedRun& run) { return run.stage == RunStage::scored; });
}

Comparison read_comparison(const ComparisonPlan& plan) {
  Comparison comparison;
  comparison.plan = plan;
  for (const PlannedRun& run : plan.runs)
    comparison.runs.push_back(read_compared(plan, run, comparison.notes));
  for (std::size_t i = 0; i < plan.models.size(); ++i)
    comparison.models.push_back(model_result(comparison, i));
  add_notes(comparison);
  return comparison;
}

}  // namespace ecp
