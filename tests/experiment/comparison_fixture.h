// A comparison's folder with made-up runs.
#pragma once

#include <fmt/core.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ecp/config/config_file.h"
#include "ecp/experiment/comparison_plan.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/token_files.h"

namespace ecp::test {

/// Token files `train.npy`, `validation.npy` and `test.npy` of bytes, and configurations for them.
class ComparisonFixture {
 public:
  ComparisonFixture() {
    for (const char* name : {"train", "validation", "test"})
      write_tokens(path(name + std::string(".npy")), {std::string(name) + " one two three four five"});
  }

  [[nodiscard]] Path path(const std::string& name) const { return folder_ / name; }

  /// A configuration's file; `more` are lines of its [train].
  std::string config(const std::string& name, const std::string& model = "",
                     const std::string& more = "") const {
    const std::string text = fmt::format(
        "[model]\ndim = 16\nheads = 2\nlayers = 2\nsequence = 8\nblock = 4\n{}\n[data]\ntrain = "
        "[\"{}\"]\nvalidation = "
        "\"{}\"\n[train]\nbatch = 2\nsteps = 10\n{}\n",
        model, path("train.npy").string(), path("validation.npy").string(), more);
    write_file(path(name), text);
    return path(name).string();
  }

  /// ecp and full, with the test file.
  [[nodiscard]] ComparisonConfig two(const std::vector<std::int64_t>& seeds = {1}) const {
    ComparisonConfig comparison;
    comparison.seeds = seeds;
    comparison.test = {path("test.npy").string()};
    comparison.models = {{"ecp", config("ecp.toml"), {}},
                         {"full", config("full.toml", "architecture = \"full\""), {}}};
    return comparison;
  }

  ComparisonPlan plan(const ComparisonConfig& comparison) const {
    return plan_comparison(path("out"), comparison);
  }

  /// What a run leaves that is at `step`, with an evaluation of that loss there.
  static void train(const ComparisonPlan& plan, const PlannedRun& run, std::int64_t step, double loss) {
    make_folders(run.folder / "checkpoints");
    make_folders(run.log.parent_path());
    write_file(run.folder / "config.toml", to_toml(plan.config_of(run)));
    const std::int64_t tokens = step * 16;
    const nlohmann::json line = {{"kind", "train"},  {"step", step},   {"loss", loss},
                                 {"tokens", tokens}, {"seconds", 2.0}, {"peak_memory", 3e9}};
    nlohmann::json eval = {{"kind", "eval"}, {"step", step / 2}, {"loss", loss + 1}, {"seconds", 1.0}};
    std::string text = eval.dump() + "\n" + line.dump() + "\n";
    eval.update({{"step", step}, {"loss", loss}, {"seconds", 2.0}});
    write_file(run.folder / "metrics.jsonl", text + eval.dump() + "\n");
    const std::string checkpoint = fmt::format("step-{:08}", step);
    write_link(run.folder / "checkpoints/last", checkpoint);
    write_link(run.folder / "checkpoints/best", checkpoint);
    write_file(
        run.folder / "run.json",
        R"({"starts": [{"step": 0, "version": "1.0", "commit": "abc", "threads": 2, "cpu": "a processor"}]})");
  }

  /// What `ecp eval` leaves.
  static void score(const ComparisonPlan& plan, const PlannedRun& run, double loss, double tokens = 28) {
    make_folders(run.folder / "evaluations");
    for (const PlannedText& text : plan.texts) {
      const nlohmann::json json = {{"loss", loss},
                                   {"perplexity_token", std::exp(loss)},
                                   {"perplexity_word", 10 * std::exp(loss)},
                                   {"bits_per_byte", loss / 0.693},
                                   {"tokens", tokens},
                                   {"window", plan.models[run.model].config.model.sequence},
                                   {"context", plan.models[run.model].context},
                                   {"lossless", true}};
      write_file(plan.evaluation_file(run, text), json.dump());
      record_scored(plan, run, text);
    }
  }

 private:
  TemporaryFolder folder_;
};

}  // namespace ecp::test
