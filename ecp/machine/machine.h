// The machine that the program finds itself on, and what the program is made of: what speed and safety
// depend on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ecp/base/control_group.h"
#include "ecp/base/files.h"

namespace ecp {

struct FileSystem {
  std::string path;                   // as asked for
  std::string kind;                   // "ext4", "tmpfs", "nfs", ...; "unknown"
  std::optional<std::uint64_t> free;  // bytes that may be written
  bool writable = false;
};

struct Machine {
  std::string version, commit, compiler;
  std::string onednn, sentencepiece, highway;  // versions
  std::string cpu;
  std::vector<std::string> instruction_sets;  // that the processor has and the kernels know
  std::string kernels;                        // the instruction set in use
  bool kernels_forced = false;                // by ECP_CPU_ISA
  int cpus_online = 0;
  int cpus_available = 0;   // affinity mask; the default number of threads
  std::string omp_threads;  // OMP_NUM_THREADS; "" where not set
  GroupLimits limits;
  std::uint64_t memory_total = 0, memory_free = 0;  // bytes; 0: /proc doesn't say
  double load = 0;                                  // processes that ran or waited, mean of the last minute
  std::string huge_pages;  // "always", "madvise", "never"; "" where the kernel has none
  FileSystem folder;
};

/// What is there now; measures nothing. `folder` is where runs are to be written. Fails if ECP_CPU_ISA names
/// something that can't be used.
Machine describe_machine(const Path& folder);

/// The chosen word of "always [madvise] never".
std::string chosen_word(std::string_view choices);

}  // namespace ecp
