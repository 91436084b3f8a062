// Interval attention in bfloat16 on tiles of AMX: what kernels/interval_attention.h runs where the machine
// has them.
#pragma once

#include <cstdint>

#include "ecp/kernels/attention_tiles.h"
#include "ecp/kernels/attention_walk.h"
#include "ecp/kernels/interval_attention.h"
#include "ecp/kernels/scratch.h"

namespace ecp::kernels::amx {

/// Query rows of a task of the forward: their keys and values are brought into the form of tiles once.
inline constexpr std::int64_t query_group = 512;

struct ForwardScratch {
  Scratch keys, values, pairs, queries, scores, probabilities, out, factors;
};

/// One group of queries of one head. Needs `Tiles` on this thread.
void forward_group(const IntervalAttention& problem, const AttentionForward& results, std::int64_t sample,
                   std::int64_t head, Range group, ForwardScratch& scratch);

/// Query rows and keys that meet at a time in the backward, and how many such tiles of queries are kept until
/// a tile of keys sums over them.
inline constexpr std::int64_t backward_queries = 32;
inline constexpr std::int64_t backward_keys = 128;
inline constexpr std::int64_t most_slots = 8;

/// A tile of queries of one head between its first and its last key.
struct OpenTile {
  Range rows;
  TileKeys keys;
  Scratch grad;  // [column tiles, 2] tiles, rows are columns: dq without `scale`
  bool has_grad = false;
  Scratch packed;  // queries and gradients as products take them, once they are
  bool is_packed = false;
  alignas(64) float log_sum[backward_queries];  // times log2 e
  alignas(64) float delta[backward_queries];    // Σ out · grad_out of each row
};

struct BackwardScratch {
  Scratch keys, values, key_rows, key_columns, grad_keys, grad_values;  // of a tile of keys
  Scratch scores, grad_pairs, probabilities, grad_scores;               // of it and tiles of queries
  Scratch packed;                                                       // of tiles that don't keep it
  Scratch factor_rows, factors;
  TilePool<OpenTile> tiles;
};

/// All of one head of keys and values and the query heads that share it. Needs `Tiles` on this thread.
void backward_head(const IntervalAttention& problem, const AttentionBackward& gradients, std::int64_t sample,
                   std::int64_t kv_head, BackwardScratch& scratch);

}  // namespace ecp::kernels::amx
