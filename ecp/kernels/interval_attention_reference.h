// The composed reference of interval attention, float64: tiles of queries against the keys they see, never
// more than one tile of scores in memory. What the fused kernels are checked against, itself checked against
// the dense definition, and what float64 tensors get. In tasks, as kernels/interval_attention.h has them.
#pragma once

#include <cstdint>

#include "ecp/kernels/interval_attention.h"
#include "ecp/kernels/matrix.h"

namespace ecp::kernels {

/// C [m, n] = alpha · A [m, k] · B [k, n] + beta · C, C not transposed. With beta 0, C may be uninitialised.
using Gemm = void (*)(std::int64_t m, std::int64_t n, std::int64_t k, double alpha, Matrix<const double> a,
                      Matrix<const double> b, double beta, Matrix<double> c);
/// In plain loops, for who has no library at hand.
void plain_gemm(std::int64_t m, std::int64_t n, std::int64_t k, double alpha, Matrix<const double> a,
                Matrix<const double> b, double beta, Matrix<double> c);

/// A problem whose tensors are all float64; its `element` and `scale` don't count.
struct ReferenceAttention {
  const IntervalAttention& problem;
  double scale = 1;
  Gemm gemm = plain_gemm;
};

struct ReferenceForward {
  WriteRows out;                  // like q
  double* log_sum_exp = nullptr;  // [batch, heads, rows]; −inf where a row sees nothing
};

struct ReferenceBackward {
  ReadRows grad_out, out;               // like q
  const double* log_sum_exp = nullptr;  // of the forward
  WriteRows grad_q, grad_k,
      grad_v;  // grad_k and grad_v begin as zeros; grad_v without data: grad_k gets both
};

std::int64_t reference_forward_tasks(const IntervalAttention& problem);
/// Tasks [begin, end).
void reference_forward(const ReferenceAttention& attention, const ReferenceForward& results,
                       std::int64_t begin, std::int64_t end);

std::int64_t reference_backward_tasks(const IntervalAttention& problem);
void reference_backward(const ReferenceAttention& attention, const ReferenceBackward& gradients,
                        std::int64_t begin, std::int64_t end);

}  // namespace ecp::kernels
