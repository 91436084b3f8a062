#include "ecp/machine/machine.h"

#include <fmt/core.h>
#include <linux/magic.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <dnnl.hpp>

#include "ecp/base/system.h"
#include "ecp/base/version.h"
#include "ecp/kernels/isa.h"
#include "ecp/kernels/targets.h"

#include <hwy/highway.h>

namespace ecp {
namespace {

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
