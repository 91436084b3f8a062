// Interval attention's inputs once they are checked, for those who compute with them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <tuple>

#include "ecp/intervals/pattern.h"
#include "ecp/ops/interval_attention.h"

namespace ecp::ops {

/// Tensors of one floating dtype on the CPU with contiguous last dimension.
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
using AttentionOutputs = std::tuple<at::Tensor, at::Tensor>;
/// Gradients of q, k and, if in.v is present, v (otherwise undefined, and k's holds both).
using AttentionGrads = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

}  // namespace ecp::ops
