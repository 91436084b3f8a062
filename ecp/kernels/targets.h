// Include before any Highway header: the vector targets that kernels are compiled for. On x86-64 a portable
// baseline, AVX2 and AVX-512; the steps between would cost build time and serve no machine that runs models.
#pragma once

#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
