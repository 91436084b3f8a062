// Asking for memory that will be needed soon.
#pragma once

#include <cstdint>

#include "ecp/kernels/attention_tiles.h"
#include "ecp/kernels/interval_attention.h"

namespace ecp::kernels {

/// Brings the line at `address` into the second cache. An instruction that the compiler can't see through:
/// g++ takes functions that do nothing but __builtin_prefetch for functions that do nothing, and drops their
/// calls.
inline void prefetch_line(const void* address) {
#if defined(__x86_64__)
  asm volatile("prefetcht1 %0" ::"m"(*static_cast<const char*>(address)));
#else
  __builtin_prefetch(address, 0, 2);
#endif
}

/// Asks for rows of one head, of elements E: their lines are too far apart for the processor to guess.
template <class E>
void prefetch_rows(const ReadRows& x, std::int64_t sample, std::int64_t head, Range rows,
                   std::int64_t width) {
  if (x.data == nullptr) return;
  const E* from = static_cast<const E*>(x.data) + sample * x.batch + head * x.head;
  for (std::int64_t row = rows.begin; row < rows.end; ++row) {
    for (std::int64_t c = 0; c < width; c += 64 / static_cast<std::int64_t>(sizeof(E))) {
      prefetch_line(from + row * x.row + c);
    }
  }
}

}  // namespace ecp::kernels
