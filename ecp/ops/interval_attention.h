// The attention operator every architecture is made of: softmax(scale · q kᵀ) v where query row i sees the
// keys of one interval (intervals/pattern.h).
//
// Registered as torch custom operator `ecp::interval_attention` (libecp_ops.so; `torch.ops.load_library`
// loads it into Python), keys CPU, Meta, Autograd, Autocast. Schema:
//
//   ecp::interval_attention(Tensor q, Tensor k, Tensor? v, str pattern, int[] pattern_parameters,
//                           int query_offset=0, int key_offset=0, Tensor? document_start=None,
//                           float? scale=None, float dropout=0., int[] dropout_key=[])
//       -> (Tensor out, Tensor log_sum_exp)
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "ecp/intervals/pattern.h"

namespace ecp::ops {

/// Dropout on attention probabilities, a pure function of its key (SPEC: seed, step, sample, layer, site,
/// row, element), so that recomputation, chunks and ranks don't change it.
struct DropoutKey {
  double probability = 0;
  std::uint64_t seed = 0;
  std::int64_t step = 0;
  std::int64_t layer = 0;
  std::vector<std::int64_t> samples;  // global index of each sample of the batch
};

struct AttentionOptions {
  std::int64_t query_offset = 0;             // stream row of q's first row
  std::int64_t key_offset = 0;               // stream row of k's first row
  std::optional<at::Tensor> document_start;  // int32 [B, n]: first stream row that each query row may see
  std::optional<double> scale;               // default d_h^-½
  DropoutKey dropout;
};

struct AttentionResult {
  at::Tensor out;          // [B, n, H, d_h], q's dtype
  at::Tensor log_sum_exp;  // [B, H, n], float32 (float64 for float64 inputs); −inf where a row sees nothing
};

/// q [B, n, H, d_h]; k, v [B, m, H_kv, d_h], H_kv divides H; v absent: v = k (gradients add up). float64,
/// float32 or bfloat16 (computed in float32). Memory and time are linear in n for bounded patterns, forward
/// and backward. log_sum_exp is not differentiable.
AttentionResult interval_attention(const at::Tensor& q_BNHD, const at::Tensor& k_BMHD,
                                   const std::optional<at::Tensor>& v_BMHD, const Pattern& pattern,
                                   const AttentionOptions& options = {});

}  // namespace ecp::ops
