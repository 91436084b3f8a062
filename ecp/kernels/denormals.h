// Denormal numbers as zeros, on this thread, for as long as the object lives. They cost a hundred times a
// normal number, and probabilities of trained models are full of them.
#pragma once

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace ecp::kernels {

class DenormalsAreZero {
 public:
#if defined(__SSE2__)
  DenormalsAreZero() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040u); }
  ~DenormalsAreZero() { _mm_setcsr(before_); }
#else
  DenormalsAreZero() = default;
#endif
  DenormalsAreZero(const DenormalsAreZero&) = delete;
  DenormalsAreZero& operator=(const DenormalsAreZero&) = delete;

 private:
  unsigned before_ = 0;
};

}  // namespace ecp::kernels
