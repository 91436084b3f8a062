#include "ecp/config/model_config.h"

#include <algorithm>

#include "ecp/base/error.h"

namespace ecp {

std::int64_t ModelConfig::inner_dim() const {
  if (ffn_dim > 0) return ffn_dim;
  if (ffn == "gelu") return 4 * dim;
  return (8 * dim / 3 + 63) / 64 * 64;
}

bool ModelConfig::is_latent() const {
  return architecture == "perceiver_ar" || architecture == "double" || architecture == "split" ||
         architecture == "compressed";
}

std::int64_t ModelConfig::segment_rows() const {
  return history_segment > 0 ? history_segment : std::max<std::int64_t>(1, (sequence - latent_rows()) / 2);
}

std::int64_t ModelConfig::compressed_rows() const {
  return compressed_history > 0 ? compressed_history
                                : std::max<std::int64_t>(1, (sequence - latent_rows()) / 4);
}

ModelConfig ModelConfig::resolved() const {
  ModelConfig config = *this;
  config.kv_heads = key_heads();
  config.ffn_dim = inner_dim();
  config.latents = is_latent() ? latent_rows() : 0;
  config.history_segment = architecture == "split" ? segment_rows() : 0;
  config.compressed_history = architecture == "compressed" ? compressed_rows() : 0;
  config.group = architecture == "shifted" ? group_rows() : 0;
  config.window = architecture == "sliding" ? window_keys() : 0;
  return config;
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
  require(classes != 1, "model.classes: expected 0 (a language model) or at least 2, got 1");
  require(classes == 0 || !tie_embeddings,
          "model.tie_embeddings: expected false with model.classes, whose classifier has weights of its own");
  require(
      qk_norm != "layer" || (shared_kv && is_latent()),
      "model.qk_norm: \"layer\" is of the paper's latent architectures with model.shared_kv = true; expected "
      "\"none\", \"rms\" or \"layer_unused\" for architecture \"{}\"{}",
      architecture, shared_kv ? "" : " with separate keys and values");
  validate_architecture();
  require(!first_block_output || architecture == "ecp",
          "model.first_block_output: expected model.architecture = \"ecp\" with it, got \"{}\"",
          architecture);
}

void ModelConfig::validate_architecture() const {
  if (is_latent()) {
    require(latent_rows() >= 1 && latent_rows() < sequence,
            "model.latents: expected 1 to {} (less than model.sequence), got {}", sequence - 1,
            latent_rows());
    const std::int64_t history = sequence - latent_rows();
    require(architecture != "split" || history % segment_rows() == 0,
            "model.history_segment: expected a divisor of the history of {} rows (sequence {} - latents {}), "
            "got {}",
            history, sequence, latent_rows(), segment_rows());
    require(architecture != "compressed" || compressed_rows() < history,
            "model.compressed_history: expected less than the history of {} rows (sequence {} - latents {}), "
            "got {}",
            history, sequence, latent_rows(), compressed_rows());
  }
  const bool halves = shift_heads || architecture == "shifted";
  require(!shift_heads || architecture == "ecp",
          "model.shift_heads: expected model.architecture = \"ecp\" with it, got \"{}\"", architecture);
  require(!shift_heads || block >= 2, "model.block: expected at least 2 with model.shift_heads, got {}",
          block);
  require(!halves || key_heads() % 2 == 0,
          "model.{}: expected an even number, since half of the heads are shifted, got {}",
          kv_heads > 0 ? "kv_heads" : "heads", key_heads());
  require(architecture != "shifted" || group_rows() >= 2, "model.group: expected at least 2, got {}",
          group_rows());
  require(causal || architecture == "ecp" || architecture == "full",
          "model.causal: expected model.architecture \"ecp\" or \"full\" with false, got \"{}\"",
          architecture);
  require(causal || !shift_heads, "model.causal: false and model.shift_heads don't go together");
}

void apply_preset(ModelConfig& config) {
  const bool paper = config.preset == "paper";
  const bool ecp = config.architecture == "ecp";
  config.shared_kv = paper;
  config.rotate_values = paper;
  config.rope = paper && config.architecture != "double" ? "first" : "all";
  config.rope_theta = 10000;
  config.qk_norm = !paper ? "rms" : config.is_latent() ? "layer" : ecp ? "layer_unused" : "none";
  config.norm = paper ? "layer" : "rms";
  config.norm_eps = 1e-5;
  config.ffn = paper ? "gelu" : "swiglu";
  config.ffn_bias = paper;
  config.output_bias = paper;
  config.first_block_output = paper && ecp;
  config.tie_embeddings = !paper && config.classes == 0;
  config.classifier_bias = paper || config.classes > 0;
  config.init = paper ? "uniform" : "scaled_normal";
  config.dropout = paper ? 0.05 : 0;
}

}  // namespace ecp
