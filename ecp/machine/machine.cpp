#include "ecp/machine/machine.h"

#include <fmt/core.h>
#include <linux/magic.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <dnnl.hpp>
#include <fstream>
#include <sstream>

#include "ecp/base/system.h"
#include "ecp/base/version.h"
#include "ecp/kernels/isa.h"
#include "ecp/kernels/targets.h"

#include <hwy/highway.h>

namespace ecp {
namespace {

/// The first line of a small file of /proc or /sys; "" where it can't be read.
std::string first_line(const Path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

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

void look_for_memory(GroupLimits& limits, const Path& limit, const Path& used) {
  const std::optional<double> bytes = number_in(limit);
  if (!bytes || *bytes <= 0 || *bytes >= 1e18) return;  // "max", or the number that version 1 has for it
  const auto value = static_cast<std::uint64_t>(*bytes);
  if (limits.memory && *limits.memory <= value) return;
  limits.memory = value;
  limits.memory_used.reset();
  if (const auto now = number_in(used)) limits.memory_used = static_cast<std::uint64_t>(*now);
}

void look_in_version_2(GroupLimits& limits, const Path& folder) {
  std::istringstream cpu(first_line(folder / "cpu.max"));
  double quota = 0, period = 0;
  if (cpu >> quota >> period && quota > 0 && period > 0) keep_least(limits.cpus, quota / period);
  look_for_memory(limits, folder / "memory.max", folder / "memory.current");
}

void look_in_version_1(GroupLimits& limits, const std::string& controller, const Path& folder) {
  if (controller == "memory") {
    look_for_memory(limits, folder / "memory.limit_in_bytes", folder / "memory.usage_in_bytes");
    return;
  }
  const auto quota = number_in(folder / "cpu.cfs_quota_us"), period = number_in(folder / "cpu.cfs_period_us");
  if (quota && period && *quota > 0 && *period > 0) keep_least(limits.cpus, *quota / *period);
}

std::string kind_of(long magic) {
  switch (magic) {
    case EXT4_SUPER_MAGIC:
      return "ext4";
    case XFS_SUPER_MAGIC:
      return "xfs";
    case BTRFS_SUPER_MAGIC:
      return "btrfs";
    case TMPFS_MAGIC:
      return "tmpfs";
    case RAMFS_MAGIC:
      return "ramfs";
    case OVERLAYFS_SUPER_MAGIC:
      return "overlay";
    case NFS_SUPER_MAGIC:
      return "nfs";
    case SMB_SUPER_MAGIC:
    case CIFS_SUPER_MAGIC:
    case SMB2_SUPER_MAGIC:
      return "smb";
    case FUSE_SUPER_MAGIC:
      return "fuse";
    case V9FS_MAGIC:
      return "9p";
    case 0x2FC12FC1:  // not in the kernel's list
      return "zfs";
    default:
      return fmt::format("unknown (magic number {:#x})", magic);
  }
}

FileSystem describe_folder(const Path& folder) {
  FileSystem system{folder.string(), "unknown", std::nullopt, ::access(folder.c_str(), W_OK) == 0};
  struct statfs kind {};
  if (::statfs(folder.c_str(), &kind) == 0) system.kind = kind_of(static_cast<long>(kind.f_type));
  struct statvfs space {};
  if (::statvfs(folder.c_str(), &space) == 0)
    system.free = static_cast<std::uint64_t>(space.f_bavail) * space.f_frsize;
  return system;
}

std::uint64_t total_memory() {
  const long pages = ::sysconf(_SC_PHYS_PAGES), size = ::sysconf(_SC_PAGESIZE);
  return pages > 0 && size > 0 ? static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(size) : 0;
}

std::string dnnl_version() {
  const auto* version = dnnl::version();
  return fmt::format("{}.{}.{}", version->major, version->minor, version->patch);
}

}  // namespace

std::string chosen_word(std::string_view choices) {
  const auto begin = choices.find('['), end = choices.find(']');
  if (begin == choices.npos || end == choices.npos || end < begin) return "";
  return std::string(choices.substr(begin + 1, end - begin - 1));
}

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

Machine describe_machine(const Path& folder) {
  Machine machine;
  machine.version = version();
  machine.commit = commit();
#if defined(__clang__)
  machine.compiler = "clang " __clang_version__;
#else
  machine.compiler = "g++ " __VERSION__;
#endif
  machine.onednn = dnnl_version();
  machine.sentencepiece = ECP_SENTENCEPIECE_VERSION;
  machine.highway = fmt::format("{}.{}.{}", HWY_MAJOR, HWY_MINOR, HWY_PATCH);
  machine.cpu = cpu_name();
  machine.instruction_sets = cpu_features();
  machine.kernels = kernels::name_of(kernels::isa());
  machine.kernels_forced = kernels::isa_forced();
  machine.cpus_online = static_cast<int>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
  machine.cpus_available = available_cpus();
  if (const char* threads = std::getenv("OMP_NUM_THREADS")) machine.omp_threads = threads;
  machine.limits = group_limits();
  machine.memory_total = total_memory();
  machine.memory_free = free_memory();
  double loads[1] = {0};
  if (::getloadavg(loads, 1) == 1) machine.load = loads[0];
  machine.huge_pages = chosen_word(first_line("/sys/kernel/mm/transparent_hugepage/enabled"));
  machine.folder = describe_folder(folder);
  return machine;
}

}  // namespace ecp
