#include "ecp/config/complexity.h"

#include <algorithm>

#include "ecp/base/error.h"
#include "ecp/config/parameters.h"

namespace ecp {
namespace {

double real(std::int64_t value) { return static_cast<double>(value); }

/// Width of the keys, and of the values beside them where they aren't the keys.
double key_value_width(const ModelConfig& config) {
  return real(config.key_heads() * config.head_dim()) * (config.shared_kv ? 1 : 2);
}

double inner_products(const ModelConfig& config) { return config.ffn == "swiglu" ? 2 : 1; }

/// Layers between the second and the last are alike.
bool like_the_one_before(const ModelConfig& config, std::int64_t layer) {
  return layer >= 2 && layer + 1 < config.layers;
}

Flops flops_of(const ModelConfig& config, const LayerPlan& plan) {
  const double d = real(config.dim), queries = real(plan.rows - plan.first_out), out = real(plan.rows_out());
  Flops flops;
  flops.attention = 2 * 2 * real(config.head_dim()) * real(plan.entries().visible);
  flops.projections = 2 * d * (queries * d + real(plan.rows) * key_value_width(config) + out * d);
  flops.feed_forward = 2 * out * d * real(config.inner_dim()) * (inner_products(config) + 1);
  // The heads' outputs, and the residual stream unless some of its rows are taken as they are.
  const double compressed = config.compressed_residual == "corrected" ? 2 : 1;
  flops.compression = 2 * compressed * real(plan.compressed_from) * real(plan.compressed_to) * d;
  return flops;
}

LayerCost cost_of(const ModelConfig& config, std::int64_t layer, std::int64_t n) {
  const LayerPlan plan = layer_plan(config, layer, n);
  LayerCost cost;
  cost.rows = plan.rows;
  cost.queries = plan.rows - plan.first_out;
  cost.rows_out = plan.rows_out();
  cost.entries = layer_entries(config, layer, n);
  cost.flops = flops_of(config, plan);
  return cost;
}

CacheCost cache_of(const ModelConfig& config, std::int64_t n) {
  if (config.is_latent() || !config.causal) return {};
  CacheCost cache{CacheCost::Kind::bounded, 0, 0};
  for (const HeadGroup& group : head_groups(config)) {
    if (!group.pattern.bounded()) cache.kind = CacheCost::Kind::growing;
    cache.rows = std::max(cache.rows, group.pattern.halo() + 1);
  }
  if (cache.kind == CacheCost::Kind::growing) cache.rows = n;
  cache.bytes = real(cache.rows) * key_value_width(config) * sizeof(float) * real(config.layers);
  return cache;
}

void add(std::int64_t& sum, std::int64_t value) {
  require(!__builtin_add_overflow(sum, value, &sum), "model: its attention entries are too many to count");
}

void require_length(std::int64_t n) {
  require(n >= 1 && n <= most_counted, "complexity: expected a length from 1 to {}, got {}", most_counted, n);
}

}  // namespace

Flops& Flops::operator+=(const Flops& other) {
  attention += other.attention;
  projections += other.projections;
  feed_forward += other.feed_forward;
  compression += other.compression;
  classifier += other.classifier;
  return *this;
}

bool LayerCost::like(const LayerCost& other) const {
  return rows == other.rows && queries == other.queries && rows_out == other.rows_out &&
         entries.visible == other.entries.visible && entries.dense == other.entries.dense;
}

Complexity complexity(const ModelConfig& config, std::int64_t n) {
  require_length(n);
  Complexity sum;
  sum.length = n;
  sum.trained = config.trained_rows(n);
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {
    sum.layers.push_back(like_the_one_before(config, layer) ? sum.layers.back() : cost_of(config, layer, n));
    const LayerCost& cost = sum.layers.back();
    add(sum.entries.visible, cost.entries.visible);
    add(sum.entries.dense, cost.entries.dense);
    sum.flops += cost.flops;
  }
  sum.flops.classifier = 2 * real(sum.trained) * real(config.dim) * real(config.vocab);
  if (config.vocab > 0) sum.parameters = parameter_count(config);
  ModelConfig any_vocabulary = config;
  any_vocabulary.vocab = 1;
  sum.inner_parameters = parameter_count(any_vocabulary, true);
  sum.activations_float32 = activation_bytes(config, n, false);
  sum.activations_bfloat16 = activation_bytes(config, n, true);
  sum.cache = cache_of(config, n);
  return sum;
}

double activation_bytes(const ModelConfig& config, std::int64_t n, bool bfloat16, bool recompute) {
  const double bytes = bfloat16 ? 2 : 4, d = real(config.dim), kv = key_value_width(config);
  // Keys alone have a norm, and queries where it is of each head.
  const double before_norm_q = config.qk_norm == "rms" ? d : 0;
  const bool norm_k = config.qk_norm == "rms" || config.qk_norm == "layer";
  const double before_norm_k = norm_k ? real(config.key_heads() * config.head_dim()) : 0;
  double sum = 0, of_layer = 0, input = 0, largest = 0;
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {
    if (!like_the_one_before(config, layer)) {
      const LayerPlan plan = layer_plan(config, layer, n);
      const double rows = real(plan.rows), queries = real(plan.rows - plan.first_out),
                   out = real(plan.rows_out());
      const double stream = (rows + out) * d;
      const double of_attention = rows * (d + kv + before_norm_k) + queries * (2 * d + before_norm_q);
      const double of_ffn = out * (d + inner_products(config) * real(config.inner_dim()));
      of_layer = 4 * stream + bytes * (of_attention + of_ffn);
      input = 4 * rows * d;
      largest = std::max(largest, of_layer);
    }
    sum += recompute ? input : of_layer;
  }
  return sum + (recompute ? largest : 0) + 4 * 2 * real(config.trained_rows(n)) * d;
}

}  // namespace ecp
