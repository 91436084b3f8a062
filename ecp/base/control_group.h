// What a container or a service manager lets this process use: Linux's control groups, version 1 or 2.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace ecp {

struct GroupLimits {
  std::optional<double> cpus;                // CPU time per time
  std::optional<std::uint64_t> memory;       // bytes
  std::optional<std::uint64_t> memory_used;  // of the group that has the limit, without cached files
};

/// The limits of this process's control groups. `root` stands before /proc and /sys, for tests.
GroupLimits group_limits(const std::filesystem::path& root = "/");

}  // namespace ecp
