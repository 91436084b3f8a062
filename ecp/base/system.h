// What the machine offers and what this process uses.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace ecp {

/// The most threads that anyone may ask for.
constexpr int most_threads = 1024;

/// CPUs this process may run on (its affinity mask), at least 1.
int available_cpus();
/// Largest resident memory of this process so far, in bytes.
std::uint64_t peak_memory();
/// Resident memory of this process now, in bytes.
std::uint64_t resident_memory();
/// Memory that new allocations can have without swapping and within the limits of the process's control
/// groups, in bytes; 0 where /proc doesn't say.
std::uint64_t free_memory();
/// Fails if `what` takes more than is free: "memory: WHAT would take 9.1 GB, 3.5 GB are free". Says nothing
/// where it isn't known what is free.
void require_free_memory(double bytes, std::string_view what);
/// The first line of a small file of /proc or /sys; "" where it can't be read.
std::string first_line(const std::filesystem::path& path);
/// "AMD EPYC ..." from /proc/cpuinfo, or "unknown".
std::string cpu_name();
/// Instruction sets of this processor that matter to the kernels: "avx2", "avx512", "avx512_vnni",
/// "avx512_bf16", "amx_bf16".
std::vector<std::string> cpu_features();
/// Makes the allocator keep freed blocks of up to 32 MB for the next use. By default glibc returns them to
/// the kernel, and a training step, which allocates the same tensors each time, pays for fresh zeroed pages
/// again and again. For programs to call at their start, not for libraries.
void keep_freed_memory();

}  // namespace ecp
