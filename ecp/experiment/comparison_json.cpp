#include <nlohmann/json.hpp>

#include "ecp/base/version.h"
#include "ecp/experiment/comparison_report.h"

namespace ecp {
namespace {

using Json = nlohmann::ordered_json;

/// NaN is null.
Json number(double value) { return std::isfinite(value) ? Json(value) : Json(); }

Json json_of(const Spread& spread) {
  return {{"seeds", spread.count},
          {"mean", number(spread.mean)},
          {"least", number(spread.least)},
          {"most", number(spread.most)},
          {"deviation", number(spread.deviation)}};
}

const char* name_of(RunStage stage) {
  switch (stage) {
    case RunStage::absent:
      return "absent";
    case RunStage::begun:
      return "begun";
    case RunStage::trained:
      return "trained";
    case RunStage::scored:
      break;
  }
  return "scored";
}

const char* name_of(Difference difference) {
  switch (difference) {
    case Difference::unknown:
      return "unknown";
    case Difference::within_seeds:
      return "within seeds";
    case Difference::beyond_seeds:
      break;
  }
  return "beyond seeds";
}

Json json_of(const Comparison& comparison, const ComparedRun& run) {
  Json json = {{"name", run.planned.name},
               {"seed", run.planned.seed},
               {"stage", name_of(run.stage)},
               {"failure", run.failure.empty() ? Json() : Json(run.failure)},
               {"steps", run.step},
               {"best_step", run.best_step ? Json(*run.best_step) : Json()},
               {"validation_loss", number(run.validation_loss)},
               {"tokens", number(run.tokens)},
               {"seconds", number(run.seconds)},
               {"tokens_per_second", number(run.tokens_per_second)},
               {"peak_memory", number(run.peak_memory)},
               {"scores", Json::object()}};
  for (std::size_t i = 0; i < run.scores.size(); ++i) {
    if (!run.scores[i]) continue;
    const EvalFigures& figures = *run.scores[i];
    json["scores"][comparison.plan.texts[i].name] = {{"loss", number(figures.loss)},
                                                     {"perplexity_token", number(figures.perplexity_token)},
                                                     {"perplexity_word", number(figures.perplexity_word)},
                                                     {"bits_per_byte", number(figures.bits_per_byte)},
                                                     {"tokens", number(figures.tokens)}};
  }
  return json;
}

Json json_of(const Comparison& comparison, std::size_t index) {
  const PlannedModel& planned = comparison.plan.models[index];
  const ModelResult& result = comparison.models[index];
  Json json = {{"name", planned.name},
               {"source", planned.source},
               {"architecture", planned.config.model.architecture},
               {"preset", planned.config.model.preset},
               {"parameters", result.parameters},
               {"parameters_without_embeddings", result.parameters_without_embeddings},
               {"visible_entries", result.entries.visible},
               {"dense_entries", result.entries.dense},
               {"training_flops_per_token", result.training_flops},
               {"steps", planned.config.train.steps},
               {"tokens", planned.tokens},
               {"trained", planned.trained},
               {"window", planned.config.model.sequence},
               {"context", planned.context},
               {"scored_rows", planned.scored_rows},
               {"seconds", json_of(result.seconds)},
               {"tokens_per_second", json_of(result.tokens_per_second)},
               {"peak_memory", json_of(result.peak_memory)},
               {"validation_loss", json_of(result.validation_loss)},
               {"texts", Json::object()},
               {"runs", Json::array()}};
  for (std::size_t i = 0; i < result.texts.size(); ++i) {
    const TextFigures& figures = result.texts[i];
    json["texts"][comparison.plan.texts[i].name] = {{"loss", json_of(figures.loss)},
                                                    {"perplexity_token", json_of(figures.perplexity_token)},
                                                    {"perplexity_word", json_of(figures.perplexity_word)},
                                                    {"bits_per_byte", json_of(figures.bits_per_byte)},
                                                    {"scored_tokens", number(figures.tokens)}};
  }
  for (const std::size_t run : result.runs) json["runs"].push_back(json_of(comparison, comparison.runs[run]));
  return json;
}

Json ranking_of(const Comparison& comparison, std::size_t text) {
  Json list = Json::array();
  const std::vector<std::size_t> order = comparison.ranking(text);
  for (std::size_t i = 0; i < order.size(); ++i) {
    Json entry = {{"model", comparison.plan.models[order[i]].name}};
    if (i > 0)
      entry["difference_to_better"] = name_of(difference(comparison.models[order[i - 1]].texts[text].loss,
                                                         comparison.models[order[i]].texts[text].loss));
    list.push_back(std::move(entry));
  }
  return list;
}

}  // namespace

std::string comparison_json(const Comparison& comparison) {
  const ComparisonPlan& plan = comparison.plan;
  const DataConfig& data = plan.models.front().config.data;
  Json json = {{"format", "ecp-comparison"},
               {"version", 1},
               {"program", fmt::format("{} ({})", version(), commit())},
               {"complete", comparison.complete()},
               {"train", data.train},
               {"validation", data.validation},
               {"vocab", plan.models.front().config.model.vocab},
               {"seeds", plan.seeds},
               {"scored_on_validation", plan.on_validation},
               {"machines", comparison.machines},
               {"notes", comparison.notes},
               {"texts", Json::object()},
               {"models", Json::array()}};
  for (std::size_t i = 0; i < plan.texts.size(); ++i) {
    const PlannedText& text = plan.texts[i];
    json["texts"][text.name] = {{"path", text.path.string()}, {"hash", text.hash},
                                {"tokens", text.tokens},      {"words", text.words},
                                {"bytes", text.bytes},        {"ranking", ranking_of(comparison, i)}};
  }
  for (std::size_t i = 0; i < plan.models.size(); ++i) json["models"].push_back(json_of(comparison, i));
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace ecp
