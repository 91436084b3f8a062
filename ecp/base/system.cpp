#include "ecp/base/system.h"

#include <malloc.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "ecp/base/control_group.h"
#include "ecp/base/error.h"

namespace ecp {
namespace {

/// The value of the first line "key : value" of a file of /proc.
std::string proc_value(const char* path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const auto colon = line.find(':');
    if (colon == std::string::npos || line.compare(0, key.size(), key) != 0) continue;
    const auto begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

std::string cpuinfo(const std::string& key) { return proc_value("/proc/cpuinfo", key); }

}  // namespace

int available_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

std::uint64_t peak_memory() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

std::uint64_t resident_memory() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t all = 0, resident = 0;
  file >> all >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::uint64_t free_memory() {
  std::istringstream value(proc_value("/proc/meminfo", "MemAvailable"));
  std::uint64_t kilobytes = 0;
  value >> kilobytes;
  const std::uint64_t free = kilobytes * 1024;
  const GroupLimits limits = group_limits();
  if (!limits.memory) return free;
  const std::uint64_t used = std::min(*limits.memory, limits.memory_used.value_or(0));
  return std::min(free, std::max<std::uint64_t>(1, *limits.memory - used));  // 0 would be: unknown
}

std::string first_line(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

void require_free_memory(double bytes, std::string_view what) {
  const auto free = static_cast<double>(free_memory());
  require(free == 0 || bytes <= free, "memory: {} would take {:.1f} GB, {:.1f} GB are free", what,
          bytes * 1e-9, free * 1e-9);
}

std::string cpu_name() {
  std::string name = cpuinfo("model name");
  return name.empty() ? "unknown" : name;
}

std::vector<std::string> cpu_features() {
  std::istringstream flags(cpuinfo("flags"));
  std::vector<std::string> found;
  for (std::string flag; flags >> flag;) {
    if (flag == "avx2" || flag == "avx512_vnni" || flag == "avx512_bf16" || flag == "amx_bf16") {
      found.push_back(flag);
    }
    if (flag == "avx512bw") found.emplace_back("avx512");
  }
  return found;
}

void keep_freed_memory() {
  constexpr int largest_kept = 32 << 20;  // the most that glibc accepts
  ::mallopt(M_MMAP_THRESHOLD, largest_kept);
  ::mallopt(M_TRIM_THRESHOLD, 1 << 30);
  ::mallopt(M_TOP_PAD, 64 << 20);
}

}  // namespace ecp
