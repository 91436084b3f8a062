// The composed reference of interval attention on the CPU: tiles of queries against the keys they see, matrix
// products from BLAS, never more than one tile of scores in memory, forward and backward. Results don't
// depend on the number of threads.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <tuple>

#include "ecp/intervals/pattern.h"
#include "ecp/ops/interval_attention.h"

namespace ecp::ops {

/// Checked inputs: tensors of one floating dtype on the CPU with contiguous last dimension.
struct AttentionInputs {
  at::Tensor q, k;                             // [B, n, H, d_h], [B, m, H_kv, d_h]
  std::optional<at::Tensor> v = std::nullopt;  // absent: k
  Pattern pattern;
  std::int64_t query_offset = 0, key_offset = 0;
  std::optional<at::Tensor> document_start = std::nullopt;  // int32 [B, n], contiguous
  double scale = 1;
  DropoutKey dropout = {};
};

/// out [B, n, H, d_h] and log_sum_exp [B, H, n].
std::tuple<at::Tensor, at::Tensor> attention_forward_cpu(const AttentionInputs& in);
/// Gradients of q, k and, if in.v is present, v (otherwise undefined, and k's holds both).
std::tuple<at::Tensor, at::Tensor, at::Tensor> attention_backward_cpu(const AttentionInputs& in,
                                                                      const at::Tensor& grad_out,
                                                                      const at::Tensor& out,
                                                                      const at::Tensor& log_sum_exp);

}  // namespace ecp::ops
