// How fast this machine is at what the program does most: matrix products, reading weights, writing
// checkpoints. A few seconds in all; the best of several tries counts, for others may use the machine as
// well.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "ecp/base/files.h"

namespace ecp {

/// One thread and all of them.
struct ThreadRates {
  double one = 0, all = 0;
};

struct DiskRates {
  double write = 0;         // bytes per second of a large file, synced at its end
  double sync_seconds = 0;  // of a small file, median
  std::uint64_t bytes = 0;  // of the large file
};

struct Rates {
  int threads = 0;                           // "all"
  ThreadRates gemm_float32;                  // floating-point operations per second, 1024 x 1024 x 1024
  std::optional<ThreadRates> gemm_bfloat16;  // none: oneDNN has no kernel for this processor
  ThreadRates memory_read;                   // bytes per second, of a matrix far larger than the caches
  std::uint64_t memory_bytes = 0;            // of that matrix
  std::optional<DiskRates> disk;             // none: the folder can't be written or has too little space
};

/// Operations per second of matrix products alone, with `threads` threads; in bfloat16 0 where oneDNN has no
/// kernel for this processor. A moment's work.
double measure_products(int threads, bool bfloat16);

/// Measures with `threads` threads at most and tells before each part what it is. The file in `folder` has no
/// name, so nothing of it stays, however the process ends. Stops at Interrupted (base/interrupt.h).
Rates measure_rates(int threads, const Path& folder,
                    const std::function<void(std::string_view what)>& tell = {});

}  // namespace ecp
