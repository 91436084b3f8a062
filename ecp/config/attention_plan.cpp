#include "ecp/config/attention_plan.h"

#include <algorithm>

#include "ecp/base/error.h"

namespace ecp {
namespace {

/// History rows [0, c) and latent rows [c, rows) of a layer.
struct Parts {
  std::int64_t history, latent;
  [[nodiscard]] std::int64_t rows() const { return history + latent; }
};

Parts parts_of(const ModelConfig& config, std::int64_t layer, std::int64_t n) {
  const std::int64_t latent = config.trained_rows(n);
  if (layer > 0 && config.architecture == "perceiver_ar") return {0, latent};
  if (layer > 0 && config.architecture == "compressed") return {config.compressed_rows(), latent};
  return {n - latent, latent};
}

/// Latent rows see all history and, causally, the latents.
AttentionCall latent_call(const Parts& parts, std::int64_t heads) {
  return {Pattern::full(), parts.history, parts.latent, parts.rows(), 0, heads, 0};
}

/// History rows see the history or their segment of it, unmasked; a first segment may be short.
AttentionCall history_call(const ModelConfig& config, const Parts& parts) {
  AttentionCall call{Pattern::all(), 0, parts.history, parts.history, 0, config.heads, 0};
  if (config.architecture == "split") {
    const std::int64_t segment = config.segment_rows();
    call.pattern = Pattern::segments(segment);
    call.shift = (segment - parts.history % segment) % segment;
  }
  return call;
}

LayerPlan latent_plan(const ModelConfig& config, std::int64_t layer, std::int64_t n) {
  require(n <= config.sequence,
          "model: architecture {} takes at most {} tokens (model.sequence) at a time, got {}",
          config.architecture, config.sequence, n);
  const Parts parts = parts_of(config, layer, n);
  const bool last = layer + 1 == config.layers;
  LayerPlan plan;
  plan.rows = parts.rows();
  if (layer > 0 && config.architecture == "compressed") plan.compressed = parts.history;
  plan.first_token = n - (plan.rows - plan.compressed);
  // What becomes of history rows after the last layer doesn't matter.
  const bool latents_only = last || config.architecture == "perceiver_ar";
  if (latents_only) {
    plan.first_out = parts.history;
  } else if (parts.history > 0) {
    plan.calls.push_back(history_call(config, parts));
  }
  if (config.architecture == "compressed" && layer == 0 && !last) {
    plan.compressed_from = parts.history;
    plan.compressed_to = config.compressed_rows();
  }
  plan.calls.push_back(latent_call(parts, config.heads));
  return plan;
}

}  // namespace

Interval AttentionCall::at(std::int64_t row) const {
  const Interval seen = pattern.at(row + shift, keys + shift);
  return {std::max<std::int64_t>(0, seen.lo - shift), seen.hi - shift};
}

Entries AttentionCall::entries() const {
  // Rows before the first query, and those that the shift puts before row 0, aren't there.
  if (first_query == 0 && shift == 0 && queries == keys) return pattern.entries(queries);
  if (shift == 0 && pattern.causal()) {
    const Entries all = pattern.entries(first_query + queries), before = pattern.entries(first_query);
    const bool whole = !pattern.bounded();
    return {all.visible - before.visible, whole ? queries * keys : all.dense - before.dense};
  }
  Entries sum;
  for (std::int64_t row = first_query; row < first_query + queries;) {  // rows of a tile see alike
    const std::int64_t end = std::min(first_query + queries, pattern.tile_end(row + shift) - shift);
    sum.visible += (end - row) * at(row).size();
    row = end;
  }
  sum.dense = sum.visible;
  return sum;
}

Entries LayerPlan::entries() const {
  Entries sum;
  for (const AttentionCall& call : calls) {
    const Entries one = call.entries();
    sum += {one.visible * call.heads, one.dense * call.heads};
  }
  return sum;
}

std::vector<HeadGroup> head_groups(const ModelConfig& config) {
  const std::int64_t heads = config.heads, half = config.heads / 2;
  if (config.architecture == "full") return {{config.causal ? Pattern::full() : Pattern::all(), 0, heads}};
  if (config.architecture == "sliding") return {{Pattern::sliding(config.window_keys()), 0, heads}};
  if (config.architecture == "shifted") {
    const std::int64_t group = config.group_rows();
    return {{Pattern::group(group), 0, half}, {Pattern::group(group, group / 2), half, half}};
  }
  require(config.architecture == "ecp", "model.architecture: expected one without latents, got \"{}\"",
          config.architecture);
  const std::int64_t block = config.block, lookback = config.lookback;
  if (!config.causal) return {{Pattern::neighbours(block, lookback), 0, heads}};
  if (!config.shift_heads) return {{Pattern::ecp(block, lookback), 0, heads}};
  return {{Pattern::ecp(block, lookback), 0, half}, {Pattern::ecp(block, lookback, block / 2), half, half}};
}

LayerPlan layer_plan(const ModelConfig& config, std::int64_t layer, std::int64_t n) {
  if (config.is_latent()) return latent_plan(config, layer, n);
  LayerPlan plan;
  plan.rows = n;
  for (const HeadGroup& group : head_groups(config))
    plan.calls.push_back({group.pattern, 0, n, n, group.first_head, group.heads, 0});
  return plan;
}

Entries layer_entries(const ModelConfig& config, std::int64_t layer, std::int64_t n) {
  ModelConfig deeper = config;  // in which this layer isn't the last
  ++deeper.layers;
  return {layer_plan(config, layer, n).entries().visible, layer_plan(deeper, layer, n).entries().dense};
}

std::int64_t reach(const ModelConfig& config, std::int64_t row) {
  const std::int64_t n = config.sequence;
  require(row >= n - config.trained_rows(n) && row < n, "row: expected one of the last {} of {}, got {}",
          config.trained_rows(n), n, row);
  // Rows [first, last] of a layer's output, from the last layer to the first, whose input are the tokens.
  std::int64_t first = row - n + layer_plan(config, config.layers - 1, n).rows_out(), last = first;
  for (std::int64_t layer = config.layers; layer-- > 0;) {
    const LayerPlan plan = layer_plan(config, layer, n);
    if (plan.compressed_from > 0) {  // each of the new rows is a mixture of all these
      const std::int64_t more = plan.compressed_from - plan.compressed_to;
      last = last < plan.compressed_to ? plan.compressed_from - 1 : last + more;
      first = first < plan.compressed_to ? 0 : first + more;
    }
    first += plan.first_out;
    last += plan.first_out;
    std::int64_t seen_first = first, seen_last = last;
    for (const AttentionCall& call : plan.calls) {
      const std::int64_t from = std::max(first, call.first_query),
                         to = std::min(last, call.first_query + call.queries - 1);
      if (from > to) continue;
      seen_first = std::min(seen_first, call.at(from).lo);
      seen_last = std::max(seen_last, call.at(to).hi - 1);
    }
    first = seen_first;
    last = seen_last;
  }
  return first;
}

Entries attention_entries(const ModelConfig& config, std::int64_t n) {
  Entries sum;
  for (std::int64_t layer = 0; layer < config.layers; ++layer) sum += layer_entries(config, layer, n);
  return sum;
}

}  // namespace ecp
