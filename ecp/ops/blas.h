// Matrix products on row-major memory with leading dimensions. Inside a parallel region they run on the
// calling thread, elsewhere on all of LibTorch's threads.
#pragma once

#include <cstdint>

#include "ecp/kernels/matrix.h"

namespace ecp::ops {

using kernels::Matrix;

/// C [m, n] = alpha · A [m, k] · B [k, n] + beta · C, C not transposed. With beta 0, C may be uninitialised.
/// float32 goes to the faster of two libraries, chosen by the processor's maker: the BLAS that LibTorch
/// carries (MKL) on Intel's, oneDNN on others, where MKL leaves the widest vectors unused (Zen 4: 102–112
/// against 89–100 GFLOP/s on one core).
void gemm(std::int64_t m, std::int64_t n, std::int64_t k, float alpha, Matrix<const float> a,
          Matrix<const float> b, float beta, Matrix<float> c);
void gemm(std::int64_t m, std::int64_t n, std::int64_t k, double alpha, Matrix<const double> a,
          Matrix<const double> b, double beta, Matrix<double> c);

/// Elements as bfloat16's 16 bits; products are summed in float32. C = A · B, or C += A · B if `accumulate`;
/// C is contiguous. On tiles of AMX where the machine has them, else by oneDNN; returns false, having done
/// nothing, where that has no kernel for it.
bool gemm_bfloat16(std::int64_t m, std::int64_t n, std::int64_t k, Matrix<const std::uint16_t> a,
                   Matrix<const std::uint16_t> b, bool accumulate, float* c);

}  // namespace ecp::ops
