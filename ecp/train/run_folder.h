// A run folder's places (docs/formats.md), its checkpoints' names, links and retention.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ecp/base/file_lock.h"
#include "ecp/base/files.h"

namespace ecp {

class RunFolder {
 public:
  /// Fails if `path` is empty.
  explicit RunFolder(Path path);

  /// For a new run: fails if something stands there already, unless it is a folder without anything in it, or
  /// with nothing but what a run leaves that was killed before it wrote its configuration.
  void require_new() const;
  /// For a run to go on: fails unless it has a configuration.
  void require_started() const;
  /// Makes the folder and `checkpoints/` in it.
  void create() const;
  /// For the one process that trains in the folder, which must exist.
  [[nodiscard]] FileLock lock() const;
  /// Deletes what killed writers left behind. For the holder of the lock.
  void clean() const;

  [[nodiscard]] const Path& path() const { return path_; }
  [[nodiscard]] Path config() const { return path_ / "config.toml"; }
  [[nodiscard]] Path facts() const { return path_ / "run.json"; }
  [[nodiscard]] Path metrics() const { return path_ / "metrics.jsonl"; }
  [[nodiscard]] Path lock_file() const { return path_ / ".lock"; }
  [[nodiscard]] Path checkpoints() const { return path_ / "checkpoints"; }
  /// checkpoints/step-00000200
  [[nodiscard]] Path checkpoint(std::int64_t step) const;

  /// Steps of the checkpoints that exist, ascending. Unfinished ones have other names.
  [[nodiscard]] std::vector<std::int64_t> steps() const;
  /// Renames the checkpoint of `step`, which can't be used, to checkpoints/damaged-step-00000200, so that it
  /// is in nobody's way; an older one of that name is deleted. Returns the new name.
  Path set_aside(std::int64_t step) const;
  /// Points `checkpoints/NAME` at the checkpoint of `step`, replacing an older link in one rename.
  void link(const std::string& name, std::int64_t step) const;
  /// Deletes all checkpoints but the `keep` newest and the best. A checkpoint is renamed before it is
  /// deleted, so that none is ever seen in part.
  void retain(std::int64_t keep, std::optional<std::int64_t> best) const;

 private:
  Path path_;
};

}  // namespace ecp
