// A comparison worked out: what each run trains, where, and on which positions all of them are scored.
//
// What is compared is made the same for all models: training and validation files, the number of tokens that
// a run processes (up to the last step), the seeds, and the positions that are scored. Whatever else the
// configurations say may differ, and the report lists it.
//
// Scoring: every position of a text once, in windows of the trained length n, of which the last r rows count:
// for all models the r of the one that gives logits for the fewest rows. So models of one length see exactly
// the same windows, with at least n/2 tokens before each scored one, or n − r where that is more.
//
// A comparison's folder:
//   comparison.toml           what is compared; configs/NAME.toml: each model's configuration, resolved
//   runs/NAME-seedN/          run folders (docs/formats.md); the scores are in evaluations/
//   logs/NAME-seedN.log       what their programs said
//   comparison.html, .md, .json   the report
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ecp/base/files.h"
#include "ecp/config/comparison_config.h"
#include "ecp/config/train_config.h"

namespace ecp {

struct PlannedModel {
  std::string name;
  std::string source;            // the configuration's file and what was set, for people
  Config config;                 // as it is trained, but for the seed
  std::int64_t tokens = 0;       // that a run processes
  std::int64_t trained = 0;      // of these with a loss: some models train a window's last rows only
  std::int64_t context = 0;      // of its evaluations
  std::int64_t scored_rows = 0;  // at most so many last rows of a window count
};

/// A text that is scored at the end.
struct PlannedText {
  std::string name;  // of its file, without .npy
  Path path;
  std::string hash;
  std::uint64_t tokens = 0, words = 0, bytes = 0;
};

struct PlannedRun {
  std::size_t model = 0;
  std::int64_t seed = 0;
  std::string name;  // "full-seed1"
  Path folder, log;
};

enum class RunStage : std::uint8_t { absent, begun, trained, scored };

struct ComparisonPlan {
  Path folder;
  std::vector<std::int64_t> seeds;
  std::vector<PlannedModel> models;
  std::vector<PlannedText> texts;
  bool on_validation = false;    // no test file was given: `texts` is the validation file
  std::vector<PlannedRun> runs;  // all models with the first seed, all with the second, ...

  [[nodiscard]] Path config_file(const PlannedModel& model) const;
  [[nodiscard]] Path evaluation_file(const PlannedRun& run, const PlannedText& text) const;
  /// The configuration of one run.
  [[nodiscard]] Config config_of(const PlannedRun& run) const;
  /// How far a run is, from its files.
  [[nodiscard]] RunStage stage_of(const PlannedRun& run) const;
  /// Whether a run's best checkpoint has been scored on this text, in this way.
  [[nodiscard]] bool is_scored(const PlannedRun& run, const PlannedText& text) const;
};

/// Works it out; `overrides` come after the models' own. Opens the token files and reads run folders that
/// are there, writes nothing. Fails, naming the models and the field, where data, tokenizers or budgets
/// aren't the same, and on a run folder that was made with other settings.
ComparisonPlan plan_comparison(const Path& folder, const ComparisonConfig& comparison,
                               const std::vector<std::string>& overrides = {});

/// What `store_plan` left in a comparison's folder, also if that was moved.
ComparisonConfig stored_comparison(const Path& folder);
/// Writes comparison.toml and configs/, from which the same command can go on or be repeated.
void store_plan(const ComparisonPlan& plan, std::int64_t tokens);
/// Adds to an evaluation that `ecp eval --output` has just written what `is_scored` asks for.
void record_scored(const ComparisonPlan& plan, const PlannedRun& run, const PlannedText& text);

}  // namespace ecp
