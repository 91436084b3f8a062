// A run folder's places (docs/formats.md), its checkpoints' names, links and retention.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ecp/base/files.h"

namespace ecp {

class RunFolder {
 public:
  /// Fails if `path` is empty.
  explicit RunFolder(Path path);

  /// For a new run: fails if something stands there already, unless it is an empty folder.
  void require_new() const;
  /// For a run to go on: fails unless it has a configuration.
  void require_started() const;
  /// Makes the folder and `checkpoints/` in it.
  void create() const;

  [[nodiscard]] const Path& path() const { return path_; }
  [[nodiscard]] Path config() const { return path_ / "config.toml"; }
  [[nodiscard]] Path facts() const { return path_ / "run.json"; }
  [[nodiscard]] Path metrics() const { return path_ / "metrics.jsonl"; }
  [[nodiscard]] Path checkpoints() const { return path_ / "checkpoints"; }
  /// checkpoints/step-00000200
  [[nodiscard]] Path checkpoint(std::int64_t step) const;

  /// Steps of the checkpoints that exist, ascending. Unfinished ones have other names.
  [[nodiscard]] std::vector<std::int64_t> steps() const;
  /// Points `checkpoints/NAME` at the checkpoint of `step`, replacing an older link in one rename.
  void link(const std::string& name, std::int64_t step) const;
  /// Deletes all checkpoints but the `keep` newest and the best, and what interrupted writers left behind. A
  /// checkpoint is renamed before it is deleted, so that none is ever seen in part.
  void retain(std::int64_t keep, std::optional<std::int64_t> best) const;

 private:
  Path path_;
};

}  // namespace ecp
