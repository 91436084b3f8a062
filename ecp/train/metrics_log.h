// metrics.jsonl: what a run measured, one JSON object a line with at least `kind` and `step`, steps
// ascending.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <utility>

#include "ecp/base/files.h"

namespace ecp {

class MetricsLog {
 public:
  explicit MetricsLog(Path path) : path_(std::move(path)) {}

  /// Appends one line; text that isn't UTF-8 has its bad bytes replaced.
  void add(const nlohmann::ordered_json& line) const;
  /// Drops lines beyond `step` and a last line that was cut off, so that a run that goes on from `step` has
  /// each step once. The file is rewritten whole or not at all. Fails on other lines that aren't metrics.
  void rewind(std::int64_t step) const;

 private:
  Path path_;
};

}  // namespace ecp
