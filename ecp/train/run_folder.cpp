#include "ecp/train/run_folder.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "ecp/base/error.h"
#include "ecp/weights/run_checkpoints.h"

namespace ecp {
namespace {

/// A checkpoint that is being deleted.
std::string retired_name(std::int64_t step) { return fmt::format(".{}.old", checkpoint_name(step)); }

bool is_retired(const std::string& name) {
  return name.starts_with('.') && name.ends_with(".old") &&
         checkpoint_step(name.substr(1, name.size() - std::string_view(".old").size() - 1));
}

}  // namespace

RunFolder::RunFolder(Path path) : path_(std::move(path)) {
  require(!path_.empty(), "run folder: expected a name, got an empty one");
}

void RunFolder::require_new() const {
  std::error_code error;
  if (!std::filesystem::exists(std::filesystem::symlink_status(path_, error))) return;
  bool empty = std::filesystem::is_directory(path_, error);
  require(empty || !std::filesystem::exists(path_, error),
          "run folder '{}': a file of that name exists; expected a new folder", path_.string());
  for (const auto& entry : std::filesystem::directory_iterator(path_, error)) {
    const bool is_checkpoints = entry.path() == checkpoints() && std::filesystem::is_empty(entry, error);
    empty = empty && (is_checkpoints || entry.path() == lock_file() || is_temporary(entry.path()));
  }
  if (!empty)
    fail("run folder '{}' exists: continue it with --resume, or choose another --output", path_.string());
}

void RunFolder::require_started() const {
  require(std::filesystem::exists(path_), "run folder '{}': no such folder, there is nothing to resume",
          path_.string());
  require(std::filesystem::exists(config()),
          "run folder '{}': expected config.toml in it, there is nothing to resume", path_.string());
}

void RunFolder::create() const { make_folders(checkpoints()); }

FileLock RunFolder::lock() const { return {lock_file(), fmt::format("run folder '{}'", path_.string())}; }

void RunFolder::clean() const {
  std::error_code error;  // what can't be deleted now is tried again at the next start
  std::vector<Path> left;
  for (const Path& folder : {path_, checkpoints()}) {
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
      if (is_temporary(entry.path()) || is_retired(entry.path().filename().string()))
        left.push_back(entry.path());
    }
  }
  for (const Path& path : left) std::filesystem::remove_all(path, error);
}

Path RunFolder::checkpoint(std::int64_t step) const { return checkpoints() / checkpoint_name(step); }

std::vector<std::int64_t> RunFolder::steps() const {
  std::vector<std::int64_t> all;
  if (!std::filesystem::is_directory(checkpoints())) return all;
  for (const auto& entry : std::filesystem::directory_iterator(checkpoints())) {
    const auto step = checkpoint_step(entry.path().filename().string());
    if (step && entry.is_directory()) all.push_back(*step);
  }
  std::sort(all.begin(), all.end());
  return all;
}

Path RunFolder::set_aside(std::int64_t step) const {
  const Path aside = checkpoints() / ("damaged-" + checkpoint_name(step));
  std::error_code error;
  std::filesystem::remove_all(aside, error);
  std::filesystem::rename(checkpoint(step), aside, error);
  require(!error, "cannot rename '{}' to '{}': {}", checkpoint(step).string(), aside.string(),
          error.message());
  return aside;
}

void RunFolder::link(const std::string& name, std::int64_t step) const {
  write_link(checkpoints() / name, checkpoint_name(step));
}

void RunFolder::retain(std::int64_t keep, std::optional<std::int64_t> best) const {
  const std::vector<std::int64_t> all = steps();
  std::error_code error;  // what can't be deleted now is tried again at the next start
  for (std::size_t i = 0; i + static_cast<std::size_t>(keep) < all.size(); ++i) {
    if (all[i] == best) continue;
    const Path retired = checkpoints() / retired_name(all[i]);
    std::filesystem::rename(checkpoint(all[i]), retired, error);
    std::filesystem::remove_all(retired, error);
  }
}

}  // namespace ecp
