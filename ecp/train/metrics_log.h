// metrics.jsonl: what a run measured, one JSON object a line with at least `kind` and `step`, steps
// ascending; and the same as TensorBoard's event files, where asked for.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "ecp/base/files.h"
#include "ecp/experiment/event_file.h"

namespace ecp {

class MetricsLog {
 public:
  explicit MetricsLog(Path path) : path_(std::move(path)) {}

  /// From now on each line goes into a new event file beside metrics.jsonl as well. `from`: see EventFile.
  void write_events(std::optional<std::int64_t> from) { events_.emplace(path_.parent_path(), from); }
  /// Appends one line; text that isn't UTF-8 has its bad bytes replaced. On a full disk it is kept in memory,
  /// with all lines after it, for the next `add` or `flush`; false then.
  bool add(const nlohmann::ordered_json& line);
  /// Writes what is still in memory and makes the file durable. Fails with NoSpace if there is no room.
  void flush();
  /// Drops lines beyond `step`, those at `step` whose kind `is_undone`, and a last line that was cut off, so
  /// that a run that goes on from `step` has each step once. The file is rewritten whole or not at all. A
  /// power cut may leave anything where lines were not yet durable: from the first line on that isn't metrics
  /// all is dropped, the old file is kept as NAME.damaged, and a warning returned. Fails if even the first
  /// isn't.
  std::optional<std::string> rewind(std::int64_t step,
                                    const std::function<bool(std::string_view kind)>& is_undone = {}) const;

 private:
  Path path_;
  std::string waiting_;
  std::optional<EventFile> events_;
};

}  // namespace ecp
