// TensorBoard's event files: the lines of metrics.jsonl as scalars and texts, for `tensorboard --logdir`.
//
// A file is a TFRecord: each record is its length, that length's checksum, an Event message (protocol
// buffers, tensorflow/core/util/event.proto) and the message's checksum. metrics.jsonl stays the truth; what
// stands here comes from its lines.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "ecp/base/files.h"

namespace ecp {

/// CRC-32C (Castagnoli), as TFRecord uses it.
std::uint32_t crc32c(std::string_view bytes);

/// One point of a curve, or one text. Texts are Markdown.
struct LogEvent {
  std::string tag;
  std::int64_t step = 0;
  std::variant<double, std::string> value;
};

/// A line of metrics.jsonl as events: train/loss, train/learning_rate, ..., eval/loss, ..., sample,
/// train/skipped. Training figures that are null become NaN, evaluation's are left out. Kinds that are not
/// known give none.
std::vector<LogEvent> events_of(const nlohmann::ordered_json& line);

/// One event file, appended to. Each `add` is one write of whole records: what was added before a process
/// died is there.
class EventFile {
 public:
  /// Begins a new file in `folder`, named so that readers take it after all that are there. `from` is the
  /// first step that this file may hold: readers drop what earlier files say from that step on. A run that
  /// goes on from the checkpoint of step s gives s + 1; a new run nothing.
  explicit EventFile(const Path& folder, std::optional<std::int64_t> from = {});

  /// `wall_time` is in seconds since 1970. On a full disk the records are kept in memory, with all after
  /// them, for the next `add` or `flush`; false then.
  bool add(const std::vector<LogEvent>& events, double wall_time);
  /// A line of metrics.jsonl, now.
  bool add(const nlohmann::ordered_json& line);
  /// Writes what is still in memory. Fails with NoSpace if there is no room.
  void flush();

  [[nodiscard]] const Path& path() const { return path_; }

 private:
  bool write_waiting();

  Path path_;
  std::string waiting_;
};

}  // namespace ecp
