#include "ecp/weights/run_checkpoints.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <system_error>

#include "ecp/base/error.h"
#include "ecp/weights/checkpoint.h"

namespace ecp {
namespace {

constexpr std::string_view prefix = "step-";

std::uint64_t size_of_folder(const Path& folder) {
  std::uint64_t bytes = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder, error)) {
    if (!entry.is_regular_file(error)) continue;
    const std::uint64_t size = entry.file_size(error);
    if (!error) bytes += size;
  }
  return bytes;
}

std::filesystem::file_time_type time_of(const Path& folder) {
  std::error_code error;
  const auto time = std::filesystem::last_write_time(folder / manifest_name, error);
  return error ? std::filesystem::last_write_time(folder, error) : time;
}

/// The folder that a link in `checkpoints` stands for.
bool stands_for(const Path& link, const Path& folder) {
  std::error_code error;
  return std::filesystem::equivalent(link, folder, error) && !error;
}

}  // namespace

std::string checkpoint_name(std::int64_t step) { return fmt::format("{}{:08}", prefix, step); }

std::optional<std::int64_t> checkpoint_step(const std::string& name) {
  if (!name.starts_with(prefix)) return std::nullopt;
  std::int64_t step = 0;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + prefix.size(), end, step);
  if (error != std::errc() || stop != end || step < 0 || checkpoint_name(step) != name) return std::nullopt;
  return step;
}

std::vector<RunCheckpoint> list_checkpoints(const Path& run) {
  const Path folder = run / "checkpoints";
  std::error_code error;
  require(std::filesystem::exists(run, error), "run folder '{}': no such folder", run.string());
  require(std::filesystem::is_directory(folder, error), "run folder '{}': expected checkpoints/ in it",
          run.string());
  std::vector<RunCheckpoint> all;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const auto step = checkpoint_step(entry.path().filename().string());
    if (!step || !entry.is_directory(error) || entry.is_symlink(error)) continue;
    const Path& path = entry.path();
    all.push_back({*step, path, time_of(path), size_of_folder(path), stands_for(folder / "best", path),
                   stands_for(folder / "last", path)});
  }
  std::sort(all.begin(), all.end(),
            [](const RunCheckpoint& a, const RunCheckpoint& b) { return a.step < b.step; });
  return all;
}

PrunePlan plan_prune(const Path& run, std::int64_t keep) {
  require(keep >= 1, "keep: expected at least 1 checkpoint, got {}", keep);
  const std::vector<RunCheckpoint> all = list_checkpoints(run);
  const auto intact = std::find_if(all.rbegin(), all.rend(), [](const RunCheckpoint& checkpoint) {
    return inspect_checkpoint(checkpoint.folder).intact();
  });
  PrunePlan plan;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const bool newest = all.size() - i <= static_cast<std::uint64_t>(keep);
    const bool good = intact != all.rend() && intact->step == all[i].step;
    (newest || good || all[i].best || all[i].last ? plan.kept : plan.removed).push_back(all[i]);
  }
  return plan;
}

void remove_checkpoint(const RunCheckpoint& checkpoint) {
  const Path hidden =
      checkpoint.folder.parent_path() / fmt::format(".{}.old", checkpoint.folder.filename().string());
  std::error_code error;
  std::filesystem::rename(checkpoint.folder, hidden, error);
  if (!error) std::filesystem::remove_all(hidden, error);
  require(!error, "cannot delete '{}': {}", checkpoint.folder.string(), error.message());
}

}  // namespace ecp
