// Asking for memory that will be needed soon.
#pragma once

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

}  // namespace ecp::kernels
