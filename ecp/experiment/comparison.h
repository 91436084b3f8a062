// What the runs of a comparison came to, read back from its folder: figures of each run, their spread over
// seeds, an order of the models.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ecp/experiment/comparison_plan.h"
#include "ecp/experiment/run.h"
#include "ecp/intervals/pattern.h"

namespace ecp {

/// A figure over several seeds; NaN where there is none.
struct Spread {
  std::size_t count = 0;
  double mean = NAN, least = NAN, most = NAN;
  double deviation = NAN;  // the sample's standard deviation, of three values or more

  [[nodiscard]] double range() const { return most - least; }
};

/// Values that are NaN don't count.
Spread spread_of(const std::vector<double>& values);

/// What can be said of two models' figures.
enum class Difference : std::uint8_t {
  unknown,       // a figure is missing, or one seed only: nobody knows what chance does
  within_seeds,  // the means are no further apart than the wider of the two ranges over seeds
  beyond_seeds,
};
Difference difference(const Spread& a, const Spread& b);

/// One run, as far as it came. Figures that aren't there are NaN.
struct ComparedRun {
  PlannedRun planned;
  RunStage stage = RunStage::absent;
  std::string failure;     // why it ended before its end; empty: it didn't fail
  std::optional<Run> run;  // its folder, where something can be read
  std::int64_t step = 0;
  std::optional<std::int64_t> best_step;  // the checkpoint that is scored
  double validation_loss = NAN;           // of it
  double tokens = NAN, seconds = NAN, tokens_per_second = NAN, peak_memory = NAN;
  std::vector<std::optional<EvalFigures>> scores;  // of each text
};

/// A text's figures over a model's seeds.
struct TextFigures {
  Spread loss, perplexity_token, perplexity_word, bits_per_byte;
  double tokens = NAN;  // scored
};

struct ModelResult {
  std::vector<std::size_t> runs;  // of Comparison::runs
  std::vector<TextFigures> texts;
  Spread validation_loss, tokens, seconds, tokens_per_second, peak_memory;
  std::int64_t parameters = 0, parameters_without_embeddings = 0;
  Entries entries;            // attention per layer and head at n, the mean over all
  double training_flops = 0;  // of one token, forward and backward (`Complexity::training_per_token`)
};

struct Comparison {
  ComparisonPlan plan;
  std::vector<ComparedRun> runs;
  std::vector<ModelResult> models;
  std::vector<std::string> notes;     // what keeps figures from being compared
  std::vector<std::string> machines;  // programs and processors that trained

  /// Models by their mean loss on a text, best first; those without a figure are left out.
  [[nodiscard]] std::vector<std::size_t> ranking(std::size_t text) const;
  /// Every run is trained and scored.
  [[nodiscard]] bool complete() const;
};

/// Reads what is there; what can't be read of a run is noted.
Comparison read_comparison(const ComparisonPlan& plan);

}  // namespace ecp
