#include "ecp/base/control_group.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>

#include "ecp/base/files.h"
#include "ecp/base/system.h"

namespace ecp {
namespace {

std::optional<double> number_in(const Path& path) {
  std::istringstream text(first_line(path));
  double value = 0;
  if (text >> value) return value;
  return std::nullopt;
}

template <class Number>
void keep_least(std::optional<Number>& least, Number value) {
  if (!least || value < *least) least = value;
}

/// Calls `look` for a group's folder and those it stands in, up to the hierarchy's own. Inside a container
/// the path may be one of outside; then the hierarchy's folder is all there is.
template <class Look>
void upwards(const Path& hierarchy, Path group, Look look) {
  for (group = group.relative_path(); !group.empty(); group = group.parent_path()) look(hierarchy / group);
  look(hierarchy);
}

/// Memory of files that the kernel drops when somebody needs it. `total`: what version 1 writes before the
/// names of sums over a group and those in it.
double cached_files(const Path& statistics, const std::string& total) {
  std::ifstream file(statistics);
  double sum = 0, bytes = 0;
  for (std::string name; file >> name >> bytes;) {
    if (name == total + "active_file" || name == total + "inactive_file") sum += bytes;
  }
  return sum;
}

void look_for_memory(GroupLimits& limits, const Path& limit, const Path& used, const std::string& total) {
  const std::optional<double> bytes = number_in(limit);
  if (!bytes || *bytes <= 0 || *bytes >= 1e18) return;  // "max", or the number that version 1 has for it
  const auto value = static_cast<std::uint64_t>(*bytes);
  if (limits.memory && *limits.memory <= value) return;
  limits.memory = value;
  limits.memory_used.reset();
  if (const auto now = number_in(used)) {
    const double cached = cached_files(limit.parent_path() / "memory.stat", total);
    limits.memory_used = static_cast<std::uint64_t>(std::max(0.0, *now - cached));
  }
}

void look_in_version_2(GroupLimits& limits, const Path& folder) {
  std::istringstream cpu(first_line(folder / "cpu.max"));
  double quota = 0, period = 0;
  if (cpu >> quota >> period && quota > 0 && period > 0) keep_least(limits.cpus, quota / period);
  look_for_memory(limits, folder / "memory.max", folder / "memory.current", "");
}

void look_in_version_1(GroupLimits& limits, const std::string& controller, const Path& folder) {
  if (controller == "memory") {
    look_for_memory(limits, folder / "memory.limit_in_bytes", folder / "memory.usage_in_bytes", "total_");
    return;
  }
  const auto quota = number_in(folder / "cpu.cfs_quota_us"), period = number_in(folder / "cpu.cfs_period_us");
  if (quota && period && *quota > 0 && *period > 0) keep_least(limits.cpus, *quota / *period);
}

}  // namespace

GroupLimits group_limits(const Path& root) {
  GroupLimits limits;
  const Path groups = root / "sys/fs/cgroup";
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {  // "4:cpu,cpuacct:/path", version 2: "0::/path"
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const Path group = line.substr(second + 1);
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (controllers.empty()) {
      upwards(groups, group, [&](const Path& folder) { look_in_version_2(limits, folder); });
      continue;
    }
    std::istringstream names(controllers);
    for (std::string name; std::getline(names, name, ',');) {
      if (name != "cpu" && name != "memory") continue;
      std::error_code error;
      const Path hierarchy =
          groups / (std::filesystem::exists(groups / controllers, error) ? controllers : name);
      upwards(hierarchy, group, [&](const Path& folder) { look_in_version_1(limits, name, folder); });
    }
  }
  return limits;
}

}  // namespace ecp
