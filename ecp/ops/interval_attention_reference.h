// The composed reference of interval attention, float64: tiles of queries against the keys they see, matrix
// products from BLAS, never more than one tile of scores in memory. What the fused kernels are checked
// against, itself checked against the dense definition. Results don't depend on the number of threads.
#pragma once

#include "ecp/ops/attention_inputs.h"

namespace ecp::ops {

AttentionOutputs attention_forward_reference(const AttentionInputs& in);
AttentionGrads attention_backward_reference(const AttentionInputs& in, const at::Tensor& grad_out,
                                            const at::Tensor& out, const at::Tensor& log_sum_exp);

}  // namespace ecp::ops
