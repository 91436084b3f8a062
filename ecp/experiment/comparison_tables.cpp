#include "ecp/experiment/comparison_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "ecp/config/config_file.h"
#include "ecp/experiment/html.h"
#include "ecp/experiment/settings.h"

namespace ecp {
namespace {

constexpr std::size_t validation_columns = 6;

std::string whole(std::int64_t value) { return grouped(static_cast<double>(value)); }

/// "12.34", "12.34 (12.30 to 12.38)" of two seeds, "12.34 ± 0.04" of more.
std::string with_spread(const Spread& spread, int digits) {
  const std::string mean = decimal(spread.mean, digits);
  if (spread.count < 2) return mean;
  if (spread.count == 2)
    return fmt::format("{} ({} to {})", mean, decimal(spread.least, digits), decimal(spread.most, digits));
  return fmt::format("{} ± {}", mean, decimal(spread.deviation, digits));
}

std::string seeds_of(const ComparisonPlan& plan) {
  return fmt::format("{} {}", plan.seeds.size() == 1 ? "seed" : "seeds", fmt::join(plan.seeds, ", "));
}

/// "all, all, 2 models": which files, in the words of the configuration.
std::string files(const std::vector<std::string>& paths) { return fmt::format("{}", fmt::join(paths, ", ")); }

/// A value that all models share, or a list of them by model.
template <class Value>
std::string shared(const ComparisonPlan& plan, Value value) {
  std::vector<std::string> all, named;
  for (const PlannedModel& model : plan.models) {
    all.push_back(value(model));
    named.push_back(fmt::format("{} ({})", all.back(), model.name));
  }
  const bool same =
      std::all_of(all.begin(), all.end(), [&](const std::string& one) { return one == all[0]; });
  return same ? all[0] : fmt::format("{}", fmt::join(named, ", "));
}

std::string names(const Comparison& comparison, const std::vector<std::size_t>& models) {
  std::vector<std::string> all;
  for (const std::size_t model : models) all.push_back(comparison.plan.models[model].name);
  return fmt::format("{}", fmt::join(all, ", "));
}

/// What the seeds say about the order in a table of results.
std::vector<std::string> remarks_on(const Comparison& comparison, const std::vector<std::size_t>& order,
                                    std::size_t text) {
  if (order.size() < 2) return {};
  bool unknown = false;
  std::vector<std::string> together;
  for (std::size_t i = 0; i + 1 < order.size(); ++i) {
    const Spread& better = comparison.models[order[i]].texts[text].loss;
    const Spread& worse = comparison.models[order[i + 1]].texts[text].loss;
    const Difference found = difference(better, worse);
    unknown = unknown || found == Difference::unknown;
    if (found == Difference::within_seeds) together.push_back(names(comparison, {order[i], order[i + 1]}));
  }
  std::vector<std::string> remarks;
  if (unknown)
    remarks.emplace_back(
        "Of a model with one seed nobody can tell how much of a difference is chance: --seeds 1,2,3 would.");
  for (const std::string& pair : together)
    remarks.push_back(
        fmt::format("{} can't be told apart: their difference is smaller than the spread over seeds.", pair));
  return remarks;
}

std::string against_best(const Spread& best, const Spread& own, const Spread& best_loss,
                         const Spread& own_loss) {
  const std::string percent = fmt::format("{:+.1f} %", 100 * (own.mean / best.mean - 1));
  return difference(best_loss, own_loss) == Difference::within_seeds ? percent + ", can't be told apart"
                                                                     : percent;
}

std::string state_of(const ComparedRun& run) {
  if (!run.failure.empty()) return "failed: " + run.failure;
  switch (run.stage) {
    case RunStage::absent:
      return "not begun";
    case RunStage::begun:
      return "unfinished";
    case RunStage::trained:
      return "trained, not scored";
    case RunStage::scored:
      break;
  }
  return "done";
}

ReportRow model_row(const Comparison& comparison, std::size_t model) {
  return {{{comparison.plan.models[model].name}}, model};
}

}  // namespace

std::string comparison_title(const Comparison& comparison) {
  const std::size_t count = comparison.models.size();
  return fmt::format("Comparison of {} model{}", count, count == 1 ? "" : "s");
}

std::vector<std::string> comparison_setup(const Comparison& comparison) {
  const ComparisonPlan& plan = comparison.plan;
  const DataConfig& data = plan.models.front().config.data;
  std::vector<std::string> setup;
  setup.push_back(fmt::format(
      "Trained on {}, validated on {}; a vocabulary of {} tokens. Each run processes {} tokens; {}.",
      files(data.train), data.validation, whole(plan.models.front().config.model.vocab),
      shared(plan, [](const PlannedModel& model) { return whole(model.tokens); }), seeds_of(plan)));
  std::vector<std::string> texts;
  for (const PlannedText& text : plan.texts)
    texts.push_back(fmt::format(
        "{} ({} tokens, {} words, {} bytes)", text.path.string(), grouped(static_cast<double>(text.tokens)),
        grouped(static_cast<double>(text.words)), grouped(static_cast<double>(text.bytes))));
  setup.push_back(fmt::format(
      "Scored: {}; each position once, in windows of {} tokens of which the last {} count at most, with at "
      "least {} tokens before each (at the start of the text, as many as there are); the same for all "
      "models.",
      fmt::join(texts, ", "),
      shared(plan, [](const PlannedModel& model) { return whole(model.config.model.sequence); }),
      shared(plan, [](const PlannedModel& model) { return whole(model.scored_rows); }),
      shared(plan, [](const PlannedModel& model) { return whole(model.context); })));
  setup.emplace_back(plan.on_validation
                         ? "No test text was given: what is scored is the validation text, by which each "
                           "run's best checkpoint was chosen as well."
                         : "The scored checkpoint of each run is that with the lowest validation loss; the "
                           "texts scored here chose nothing.");
  setup.push_back(comparison.machines.empty()
                      ? "Nothing has been trained yet."
                      : fmt::format("Made by ecp {}.", fmt::join(comparison.machines, "; ")));
  return setup;
}

ReportTable results_table(const Comparison& comparison, std::size_t text) {
  const ComparisonPlan& plan = comparison.plan;
  const std::vector<std::size_t> order = comparison.ranking(text);
  ReportTable table;
  table.title = fmt::format("Results on {}", plan.texts[text].name);
  table.columns = {{"model"},
                   {"rank", true},
                   {"perplexity per token", true},
                   {"against the best", true},
                   {"perplexity per word", true},
                   {"bits per byte", true},
                   {"nats per token", true},
                   {"seeds", true}};
  const auto least = [&](Spread TextFigures::*figure) {
    double best = NAN;
    for (const ModelResult& model : comparison.models)
      best = std::fmin(best, (model.texts[text].*figure).mean);
    return best;
  };
  for (std::size_t place = 0; place < order.size(); ++place) {
    const TextFigures& figures = comparison.models[order[place]].texts[text];
    const TextFigures& best = comparison.models[order[0]].texts[text];
    ReportRow row = model_row(comparison, order[place]);
    row.cells.push_back({std::to_string(place + 1)});
    const auto add = [&](Spread TextFigures::*figure, int digits) {
      const Spread& spread = figures.*figure;
      row.cells.push_back({with_spread(spread, digits), spread.mean == least(figure)});
    };
    add(&TextFigures::perplexity_token, 2);
    row.cells.push_back({place == 0 ? "–"
                                    : against_best(best.perplexity_token, figures.perplexity_token, best.loss,
                                                   figures.loss)});
    add(&TextFigures::perplexity_word, 1);
    add(&TextFigures::bits_per_byte, 4);
    add(&TextFigures::loss, 4);
    const std::size_t count = figures.loss.count;
    row.cells.push_back({count == plan.seeds.size() ? std::to_string(count)
                                                    : fmt::format("{} of {}", count, plan.seeds.size())});
    table.rows.push_back(std::move(row));
  }
  for (std::size_t i = 0; i < comparison.models.size(); ++i) {
    if (std::find(order.begin(), order.end(), i) != order.end()) continue;
    ReportRow row = model_row(comparison, i);
    row.cells.resize(table.columns.size(), {"–"});
    table.rows.push_back(std::move(row));
  }
  if (order.size() > 1) table.remarks.emplace_back("Against the best: by perplexity per token.");
  if (plan.seeds.size() == 2) table.remarks.emplace_back("Mean of the seeds, least and greatest.");
  if (plan.seeds.size() > 2) table.remarks.emplace_back("Mean of the seeds ± their standard deviation.");
  for (std::string& remark : remarks_on(comparison, order, text)) table.remarks.push_back(std::move(remark));
  return table;
}

ReportTable models_table(const Comparison& comparison) {
  ReportTable table{"Models",
                    {{"model"},
                     {"architecture"},
                     {"preset"},
                     {"parameters", true},
                     {"without embeddings", true},
                     {"trained length (tokens)", true},
                     {"visible attention entries", true},
                     {"dense entries", true},
                     {"training, MFLOP per token", true}},
                    {},
                    {"Visible: pairs of a query and a key that it sees. Dense: the rectangles that an "
                     "implementation with masks computes. Both per layer and head, the mean over all. "
                     "MFLOP: forward and backward, two operations per multiply-add, of visible entries."}};
  for (std::size_t i = 0; i < comparison.models.size(); ++i) {
    const ModelConfig& config = comparison.plan.models[i].config.model;
    const ModelResult& result = comparison.models[i];
    ReportRow row = model_row(comparison, i);
    for (const std::string& text :
         {config.architecture, config.preset, whole(result.parameters),
          whole(result.parameters_without_embeddings), whole(config.sequence), whole(result.entries.visible),
          whole(result.entries.dense), decimal(result.training_flops / 1e6, 1)})
      row.cells.push_back({text});
    table.rows.push_back(std::move(row));
  }
  return table;
}

ReportTable training_table(const Comparison& comparison) {
  ReportTable table{"Training",
                    {{"model"},
                     {"steps", true},
                     {"tokens per step", true},
                     {"tokens processed", true},
                     {"of these with a loss", true},
                     {"best step", true},
                     {"validation loss (nats per token)", true},
                     {"training time", true},
                     {"tokens per second", true},
                     {"operations (TFLOP)", true},
                     {"peak memory (GB)", true}},
                    {},
                    {"Mean of the seeds; peak memory is the largest. Training time leaves evaluations out."}};
  for (std::size_t i = 0; i < comparison.models.size(); ++i) {
    const PlannedModel& model = comparison.plan.models[i];
    const ModelResult& result = comparison.models[i];
    std::vector<std::string> best;
    for (const std::size_t run : result.runs) {
      const ComparedRun& one = comparison.runs[run];
      if (one.stage >= RunStage::trained && one.best_step) best.push_back(whole(*one.best_step));
    }
    const std::int64_t steps = model.config.train.steps;
    const double share = static_cast<double>(model.trained) / static_cast<double>(model.tokens);
    ReportRow row = model_row(comparison, i);
    for (const std::string& text :
         {whole(steps), whole(model.tokens / steps), grouped(result.tokens.mean),
          grouped(result.tokens.mean * share), best.empty() ? "–" : fmt::format("{}", fmt::join(best, "; ")),
          with_spread(result.validation_loss, 4), duration(result.seconds.mean),
          grouped(result.tokens_per_second.mean),
          decimal(result.training_flops * result.tokens.mean / 1e12, 1),
          decimal(result.peak_memory.most / 1e9, 2)})
      row.cells.push_back({text});
    table.rows.push_back(std::move(row));
  }
  return table;
}

std::vector<ValidationPoint> validation_curve(const Comparison& comparison, std::size_t model) {
  const PlannedModel& planned = comparison.plan.models[model];
  const auto per_step = static_cast<double>(planned.tokens / planned.config.train.steps);
  std::map<std::int64_t, std::pair<ValidationPoint, double>> sums;
  for (const std::size_t run : comparison.models[model].runs) {
    if (!comparison.runs[run].run) continue;
    for (const EvalPoint& point : comparison.runs[run].run->log.eval) {
      auto& [sum, count] = sums[point.step];
      sum.loss += point.figures.loss;
      sum.seconds += point.seconds;
      ++count;
    }
  }
  std::vector<ValidationPoint> curve;
  for (const auto& [step, entry] : sums) {
    const auto& [sum, count] = entry;
    curve.push_back({step, static_cast<double>(step) * per_step, sum.seconds / count, sum.loss / count});
  }
  return curve;
}

ReportTable validation_table(const Comparison& comparison) {
  ReportTable table{"Validation loss (nats per token) while training", {{"model"}}, {}, {}};
  double most = 0;
  std::vector<std::vector<ValidationPoint>> curves;
  for (std::size_t i = 0; i < comparison.models.size(); ++i) {
    curves.push_back(validation_curve(comparison, i));
    if (!curves.back().empty()) most = std::max(most, curves.back().back().tokens);
  }
  if (most == 0) return table;
  for (std::size_t column = 1; column <= validation_columns; ++column)
    table.columns.push_back(
        {short_number(std::round(most * static_cast<double>(column) / validation_columns)) + " tokens",
         true});
  for (std::size_t i = 0; i < curves.size(); ++i) {
    ReportRow row = model_row(comparison, i);
    for (std::size_t column = 1; column <= validation_columns; ++column) {
      // The last evaluation up to there.
      const double limit = most * static_cast<double>(column) / validation_columns * (1 + 1e-9);
      double loss = NAN;
      for (const ValidationPoint& point : curves[i]) {
        if (point.tokens <= limit && point.tokens > limit - most / validation_columns) loss = point.loss;
      }
      row.cells.push_back({decimal(loss, 3)});
    }
    table.rows.push_back(std::move(row));
  }
  table.remarks.emplace_back("The last evaluation up to each number of tokens processed; mean of the seeds.");
  return table;
}

ReportTable differing_table(const Comparison& comparison) {
  std::vector<std::vector<Facts>> configs;
  ReportTable table{"Settings that differ", {{"setting"}}, {}, {}};
  for (const PlannedModel& model : comparison.plan.models) {
    configs.push_back(parse_resolved_config(to_toml(model.config), model.name));
    table.columns.push_back({model.name});
  }
  for (const SettingRow& setting : differing_settings(configs)) {
    ReportRow row{{{setting.name}}, {}};
    for (const std::string& value : setting.values) row.cells.push_back({value.empty() ? "–" : value});
    table.rows.push_back(std::move(row));
  }
  return table;
}

ReportTable runs_table(const Comparison& comparison) {
  ReportTable table{
      "Runs",
      {{"run"}, {"seed", true}, {"state"}, {"steps", true}, {"best step", true}, {"validation loss", true}},
      {},
      {}};
  for (const PlannedText& text : comparison.plan.texts)
    table.columns.push_back({text.name + ", nats per token", true});
  for (const ComparedRun& run : comparison.runs) {
    ReportRow row{{{run.planned.name}}, run.planned.model};
    for (const std::string& text :
         {std::to_string(run.planned.seed), state_of(run), whole(run.step),
          run.best_step ? whole(*run.best_step) : "–", decimal(run.validation_loss, 4)})
      row.cells.push_back({text});
    for (const auto& score : run.scores) row.cells.push_back({decimal(score ? score->loss : NAN, 4)});
    table.rows.push_back(std::move(row));
  }
  return table;
}

}  // namespace ecp
