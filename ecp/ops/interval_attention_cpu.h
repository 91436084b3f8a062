// Interval attention of float32 and bfloat16 on the CPU: the fused kernels (kernels/interval_attention.h) on
// LibTorch's threads.
#pragma once

#include "ecp/ops/attention_inputs.h"

namespace ecp::ops {

AttentionOutputs attention_forward_cpu(const AttentionInputs& in);
AttentionGrads attention_backward_cpu(const AttentionInputs& in, const at::Tensor& grad_out,
                                      const at::Tensor& out, const at::Tensor& log_sum_exp);

}  // namespace ecp::ops
