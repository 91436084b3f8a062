// The checkpoints of a run folder: RUN/checkpoints/step-00000200, ..., and the links `best` and `last`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "ecp/base/files.h"

namespace ecp {

/// "step-00000200".
std::string checkpoint_name(std::int64_t step);
/// The step of such a name; none for any other.
std::optional<std::int64_t> checkpoint_step(const std::string& name);

struct RunCheckpoint {
  std::int64_t step = 0;
  Path folder;
  std::filesystem::file_time_type written;  // of the manifest; of the folder where it is missing
  std::uint64_t bytes = 0;                  // all its files
  bool best = false, last = false;          // what the links point to
};

/// A run's checkpoints by step; unfinished ones have other names and are left out. Fails unless `run` is a
/// folder with checkpoints/ in it.
std::vector<RunCheckpoint> list_checkpoints(const Path& run);

struct PrunePlan {
  std::vector<RunCheckpoint> kept, removed;
};

/// Which checkpoints go if the `keep` newest stay. Those that `best` and `last` stand for always stay, and so
/// does the newest one that is intact (reads checkpoints, newest first, until it finds one). Changes nothing.
/// Throws Interrupted.
PrunePlan plan_prune(const Path& run, std::int64_t keep);
/// Deletes one: it is renamed first, so that nobody ever sees it in part.
void remove_checkpoint(const RunCheckpoint& checkpoint);

}  // namespace ecp
