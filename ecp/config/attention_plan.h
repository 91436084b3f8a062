// What attends to what in each layer of a model, as calls of the interval operator: the one description that
// models execute and that counts, pictures and the runtime are derived from.
//
// A layer takes `rows` rows and gives those from `first_out` on; compressed's first layer gives p + ℓ rows.
#pragma once

#include <cstdint>
#include <vector>

#include "ecp/config/model_config.h"
#include "ecp/intervals/pattern.h"

namespace ecp {

/// Rows [first_query, first_query + queries) against keys [0, keys) for some of the heads.
struct AttentionCall {
  Pattern pattern = Pattern::full();
  std::int64_t first_query = 0, queries = 0;
  std::int64_t keys = 0;
  std::int64_t first_head = 0, heads = 0;
  std::int64_t shift = 0;  // row r stands at row r + shift of the pattern's stream

  /// The local keys that the layer's row `row` sees.
  [[nodiscard]] Interval at(std::int64_t row) const;
  /// Attention entries of one of its heads.
  [[nodiscard]] Entries entries() const;
};

struct LayerPlan {
  std::int64_t rows = 0;             // of its input
  std::int64_t compressed = 0;       // leading rows that stand for the whole history, compressed
  std::int64_t first_token = 0;      // the token of the first row after those
  std::int64_t first_out = 0;        // rows before it have no queries: they are keys only
  std::vector<AttentionCall> calls;  // ordered by rows, then by heads
  std::int64_t compressed_from = 0;  // > 0: the first so many rows become `compressed_to` after attention
  std::int64_t compressed_to = 0;

  /// Rows of its output.
  [[nodiscard]] std::int64_t rows_out() const { return rows - first_out - compressed_from + compressed_to; }
  /// Attention entries of all heads.
  [[nodiscard]] Entries entries() const;
};

/// The plan of layer `layer` for a window of n ≥ 1 tokens. Fails if a latent architecture is asked for more
/// than its trained length.
LayerPlan layer_plan(const ModelConfig& config, std::int64_t layer, std::int64_t n);

/// Attention entries of one layer, all heads. `visible`: the pairs that it computes. `dense`: with queries
/// for history rows in every layer, the last one too, as the paper counts.
Entries layer_entries(const ModelConfig& config, std::int64_t layer, std::int64_t n);
/// The same of all layers.
Entries attention_entries(const ModelConfig& config, std::int64_t n);

/// The first token of a window of `config.sequence` that can influence what the model says at `row`, one of
/// the rows that have logits: the intervals of all layers composed.
std::int64_t reach(const ModelConfig& config, std::int64_t row);

/// Heads that see alike.
struct HeadGroup {
  Pattern pattern = Pattern::full();
  std::int64_t first_head = 0, heads = 0;
};

/// Groups of heads of the architectures whose layers are all alike: every row is a query and a key. Fails for
/// the latent ones.
std::vector<HeadGroup> head_groups(const ModelConfig& config);

}  // namespace ecp
