// Interval attention on the CPU, on LibTorch's threads: the fused kernels (kernels/interval_attention.h), and
// for float64 the reference (kernels/interval_attention_reference.h) with the BLAS that LibTorch carries.
#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>

#include "ecp/ops/attention_inputs.h"

namespace ecp::ops {

/// out [B, n, H, d_h] and log_sum_exp [B, H, n].
using AttentionOutputs = std::tuple<at::Tensor, at::Tensor>;
/// Gradients of q, k and, if in.v is present, v (otherwise undefined, and k's holds both).
using AttentionGrads = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

AttentionOutputs attention_forward_cpu(const AttentionInputs<at::Tensor>& in);
AttentionGrads attention_backward_cpu(const AttentionInputs<at::Tensor>& in, const at::Tensor& grad_out,
                                      const at::Tensor& out, const at::Tensor& log_sum_exp);

}  // namespace ecp::ops
