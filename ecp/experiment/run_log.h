// The files of a run folder, read back: metrics.jsonl, the resolved configuration, run.json, evaluations and
// baselines (docs/formats.md). Errors name file:line.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ecp/base/files.h"

namespace ecp {

struct TrainPoint {
  std::int64_t step = 0;
  double loss = 0;  // nats per token; NaN where it was not finite. Others: NaN where not given
  double lr = 0;
  double grad_norm = 0;
  double tokens_per_second = 0;
  double seconds = 0;      // of training so far
  double tokens = 0;       // so far
  double peak_memory = 0;  // bytes
};

/// An evaluation's figures; NaN where one is not given (a baseline that knows no tokens).
struct EvalFigures {
  double loss = 0;  // nats per token
  double perplexity_token = 0;
  double perplexity_word = 0;
  double bits_per_byte = 0;
  double accuracy = 0;  // of a classifier, 0 … 1
  double images = 0;
  double tokens = 0;
  double window = 0;
  double context = 0;
  bool lossless = true;  // false: the tokenizer loses text, which wasn't paid for
};

struct EvalPoint {
  std::int64_t step = 0;
  EvalFigures figures;
  double seconds = 0;  // of training so far; NaN where not given
};

struct Sample {
  std::int64_t step = 0;
  std::string prompt, text;
};

/// A step whose update was left out.
struct SkippedStep {
  std::int64_t step = 0;
  std::string reason;
};

/// metrics.jsonl. Where a resumed run repeats steps, what it wrote last counts.
struct RunLog {
  std::vector<TrainPoint> train;
  std::vector<EvalPoint> eval;
  std::vector<Sample> samples;
  std::vector<SkippedStep> skipped;
  std::size_t damaged = 0;    // lines that could not be read
  std::string first_damaged;  // "metrics.jsonl:5: expected a JSON object"
};

/// Kinds that are not known are passed over. A line that can't be read is counted and left out; a last line
/// that was cut off (no line end, not whole) is what a program that writes or was killed leaves, and isn't
/// counted.
RunLog parse_metrics(std::string_view text, std::string_view name);

/// evaluations/NAME.json, or one entry of evaluations/baselines.json.
struct NamedEvaluation {
  std::string name;
  EvalFigures figures;
};
NamedEvaluation read_evaluation(const Path& file);
/// The same for a file with figures of several parts of the data, each named as "NAME, test".
std::vector<NamedEvaluation> read_evaluations(const Path& file);
/// {"baselines": [{"name": "bigram", "bits_per_byte": 1.99, ...}, ...]}
std::vector<NamedEvaluation> read_baselines(const Path& file);
/// A list of names and values to be shown, in sections.
struct Facts {
  std::string section;
  std::vector<std::pair<std::string, std::string>> rows;
};
/// Each [section] of a resolved configuration with its `key = value` lines as they stand there; `name` stands
/// for the file in messages.
std::vector<Facts> parse_resolved_config(std::string_view text, std::string_view name);
std::vector<Facts> read_resolved_config(const Path& file);
/// A JSON object with nested names joined by points ("data.0.hash").
Facts read_json_facts(const Path& file);

}  // namespace ecp
