#include "ecp/config/model_config.h"

#include "ecp/base/error.h"

namespace ecp {

std::int64_t ModelConfig::inner_dim() const {
  if (ffn_dim > 0) return ffn_dim;
  if (ffn == "gelu") return 4 * dim;
  return (8 * dim / 3 + 63) / 64 * 64;
}

Pattern ModelConfig::pattern() const {
  if (architecture == "full") return Pattern::full();
  return Pattern::ecp(block, lookback);
}

void ModelConfig::validate() const {
  require(dim % heads == 0, "model.heads: expected a divisor of model.dim {}, got {}", dim, heads);
  require(head_dim() % 2 == 0, "model.heads: expected an even head width, got {} = dim {} / heads {}",
          head_dim(), dim, heads);
  require(heads % key_heads() == 0, "model.kv_heads: expected a divisor of model.heads {}, got {}", heads,
          kv_heads);
  require(!rotate_values || shared_kv,
          "model.rotate_values: expected model.shared_kv = true with it (values are rotated as the keys they "
          "are)");
  require(!shared_kv || rotate_values || rope == "none",
          "model.shared_kv: expected model.rotate_values = true or model.rope = \"none\" with it");
  require(!(shared_kv && qk_norm == "rms"),
          "model.qk_norm: expected \"none\" or \"layer_unused\" with model.shared_kv, got \"rms\"");
  require(!first_block_output || architecture == "ecp",
          "model.first_block_output: expected model.architecture = \"ecp\" with it, got \"{}\"",
          architecture);
}

void apply_preset(ModelConfig& config) {
  const bool paper = config.preset == "paper";
  const bool ecp = config.architecture == "ecp";
  config.shared_kv = paper;
  config.rotate_values = paper;
  config.rope = paper ? "first" : "all";
  config.rope_theta = 10000;
  config.qk_norm = paper ? (ecp ? "layer_unused" : "none") : "rms";
  config.norm = paper ? "layer" : "rms";
  config.norm_eps = 1e-5;
  config.ffn = paper ? "gelu" : "swiglu";
  config.ffn_bias = paper;
  config.output_bias = paper;
  config.first_block_output = paper && ecp;
  config.tie_embeddings = !paper;
  config.classifier_bias = paper;
  config.init = paper ? "uniform" : "scaled_normal";
  config.dropout = paper ? 0.05 : 0;
}

}  // namespace ecp
