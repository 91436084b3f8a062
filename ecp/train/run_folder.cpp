#include "ecp/train/run_folder.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <system_error>
#include <utility>

#include "ecp/base/error.h"

namespace ecp {
namespace {

constexpr std::string_view prefix = "step-";

std::string name_of_step(std::int64_t step) { return fmt::format("{}{:08}", prefix, step); }

std::optional<std::int64_t> step_of(const std::string& name) {
  if (!name.starts_with(prefix)) return std::nullopt;
  std::int64_t step = 0;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + prefix.size(), end, step);
  if (error != std::errc() || stop != end || name_of_step(step) != name) return std::nullopt;
  return step;
}

}  // namespace

RunFolder::RunFolder(Path path) : path_(std::move(path)) {
  require(!path_.empty(), "run folder: expected a name, got an empty one");
}

void RunFolder::require_new() const {
  std::error_code error;
  if (!std::filesystem::exists(std::filesystem::symlink_status(path_, error))) return;
  if (std::filesystem::is_directory(path_, error) && std::filesystem::is_empty(path_, error)) return;
  fail("run folder '{}' exists: continue it with --resume, or choose another --output", path_.string());
}

void RunFolder::require_started() const {
  require(std::filesystem::exists(path_), "run folder '{}': no such folder, there is nothing to resume",
          path_.string());
  require(std::filesystem::exists(config()),
          "run folder '{}': expected config.toml in it, there is nothing to resume", path_.string());
}

void RunFolder::create() const {
  std::error_code error;
  std::filesystem::create_directories(checkpoints(), error);
  require(!error, "cannot make folder '{}': {}", checkpoints().string(), error.message());
}

Path RunFolder::checkpoint(std::int64_t step) const { return checkpoints() / name_of_step(step); }

std::vector<std::int64_t> RunFolder::steps() const {
  std::vector<std::int64_t> all;
  if (!std::filesystem::is_directory(checkpoints())) return all;
  for (const auto& entry : std::filesystem::directory_iterator(checkpoints())) {
    const auto step = step_of(entry.path().filename().string());
    if (step && entry.is_directory()) all.push_back(*step);
  }
  std::sort(all.begin(), all.end());
  return all;
}

void RunFolder::link(const std::string& name, std::int64_t step) const {
  const Path final = checkpoints() / name;
  const Path temporary = checkpoints() / fmt::format(".{}.tmp-{}", name, ::getpid());
  std::error_code error;
  std::filesystem::remove(temporary, error);
  std::filesystem::create_symlink(name_of_step(step), temporary, error);
  if (!error) std::filesystem::rename(temporary, final, error);
  require(!error, "cannot make link '{}': {}", final.string(), error.message());
  sync_folder(checkpoints());
}

void RunFolder::retain(std::int64_t keep, std::optional<std::int64_t> best) const {
  const std::vector<std::int64_t> all = steps();
  std::error_code error;  // what can't be deleted now is tried again after the next checkpoint
  for (std::size_t i = 0; i + static_cast<std::size_t>(keep) < all.size(); ++i) {
    if (all[i] == best) continue;
    const Path old = checkpoint(all[i]);
    std::filesystem::rename(old, checkpoints() / fmt::format(".{}.old", old.filename().string()), error);
  }
  const std::string hidden = fmt::format(".{}", prefix);
  std::vector<Path> leftovers;
  for (const auto& entry : std::filesystem::directory_iterator(checkpoints())) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(hidden)) leftovers.push_back(entry.path());
  }
  for (const Path& path : leftovers) std::filesystem::remove_all(path, error);
}

}  // namespace ecp
