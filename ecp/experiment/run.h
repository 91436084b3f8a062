// A run folder as a whole: everything that a report needs of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ecp/base/files.h"
#include "ecp/experiment/run_log.h"

namespace ecp {

/// When the program began, or went on with, the run.
struct RunStart {
  std::int64_t step = 0;
  std::string time;     // "2026-01-31T12:00:00Z"
  std::string program;  // "0.1.0 (1a2b3c4), 2 threads, AMD EPYC"
};

struct Run {
  Path folder;
  std::string name;  // of the folder; longer where several runs' are the same
  RunLog log;
  std::vector<Facts> config;  // config.toml's sections; empty: none
  std::vector<Facts> facts;   // run.json; empty: none
  std::vector<RunStart> starts;
  double parameters = 0, tokens_per_step = 0;  // NaN: not known
  std::vector<NamedEvaluation> evaluations;    // by name, then the baselines
  std::string sample;                          // sample.txt
  std::vector<std::string> notes;              // what could not be read

  /// The value in the resolved configuration as it stands there, or "".
  [[nodiscard]] std::string setting(const std::string& section, const std::string& key) const;
};

/// Reads a run folder (docs/formats.md): needs its metrics.jsonl with a line of training or evaluation.
/// config.toml, run.json, evaluations/*.json, evaluations/baselines.json and sample.txt are taken where they
/// exist; what of these can't be read is left out and noted.
Run read_run(const Path& folder);
/// Several, with names that tell them apart. Fails on a folder that is given twice.
std::vector<Run> read_runs(const std::vector<Path>& folders);

}  // namespace ecp
