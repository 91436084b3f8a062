// Models that the runtime streams: each architecture, both presets, each choice turned the other way.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "reference_model.h"

namespace ecp {

struct Case {
  std::string name;
  ModelConfig config;
  std::int64_t tokens;
};

inline void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

inline ModelConfig small(const std::string& architecture, const std::string& preset) {
  ModelConfig config;
  config.architecture = architecture;
  config.preset = preset;
  apply_preset(config);
  config.vocab = 37;
  config.dim = 24;
  config.layers = 2;
  config.heads = 4;
  config.sequence = 20;
  config.block = 5;
  config.ffn_dim = 31;
  return config;
}

/// Both architectures, both presets, and each choice turned the other way.
inline std::vector<Case> cases() {
  std::vector<Case> all;
  const auto add = [&](const std::string& name, ModelConfig config, std::int64_t tokens, const auto& change) {
    change(config);
    config.validate();
    all.push_back({name, config, tokens});
  };
  const auto same = [](ModelConfig&) {};
  add("ecp_modern", small("ecp", "modern"), 43, same);
  add("ecp_paper_within", small("ecp", "paper"), 20, same);
  add("ecp_paper_beyond", small("ecp", "paper"), 61, same);
  add("full_modern", small("full", "modern"), 43, same);
  add("full_paper", small("full", "paper"), 33, same);
  add("ecp_modern_grouped", small("ecp", "modern"), 38, [](ModelConfig& c) { c.kv_heads = 2; });
  add("ecp_paper_grouped", small("ecp", "paper"), 38, [](ModelConfig& c) { c.kv_heads = 1; });
  add("full_modern_grouped", small("full", "modern"), 23, [](ModelConfig& c) { c.kv_heads = 1; });
  add("ecp_modern_lookback", small("ecp", "modern"), 64, [](ModelConfig& c) { c.lookback = 2; });
  add("ecp_paper_lookback", small("ecp", "paper"), 64, [](ModelConfig& c) { c.lookback = 3; });
  add("ecp_block_1", small("ecp", "modern"), 17, [](ModelConfig& c) { c.block = 1, c.lookback = 4; });
  add("ecp_block_longer_than_all", small("ecp", "modern"), 29, [](ModelConfig& c) { c.block = 64; });
  add("ecp_paper_odd_length", small("ecp", "paper"), 47, [](ModelConfig& c) { c.sequence = 18; });
  add("ecp_paper_short_length", small("ecp", "paper"), 31, [](ModelConfig& c) { c.sequence = 3; });
  add("ecp_paper_all_layers", small("ecp", "paper"), 47, [](ModelConfig& c) { c.rope = "all"; });
  add("ecp_paper_no_rope", small("ecp", "paper"), 41, [](ModelConfig& c) { c.rope = "none"; });
  add("ecp_modern_untied", small("ecp", "modern"), 27, [](ModelConfig& c) {
    c.tie_embeddings = false;
    c.classifier_bias = c.ffn_bias = c.output_bias = c.first_block_output = true;
  });
  add("ecp_modern_tied_bias", small("ecp", "modern"), 27, [](ModelConfig& c) { c.classifier_bias = true; });
  add("ecp_modern_plain", small("ecp", "modern"), 27,
      [](ModelConfig& c) { c.qk_norm = "none", c.norm = "layer", c.ffn = "gelu", c.rope_theta = 500; });
  add("ecp_wide", small("ecp", "modern"), 70,
      [](ModelConfig& c) { c.dim = 264, c.heads = 4, c.block = 33, c.layers = 1; });
  for (const char* preset : {"modern", "paper"}) {
    const std::string in = std::string("_") + preset;
    add("sliding" + in, small("sliding", preset), 47, [](ModelConfig& c) { c.window = 9; });
    add("shifted" + in, small("shifted", preset), 47, [](ModelConfig& c) { c.group = 8; });
    add("shifted_odd_grouped" + in, small("shifted", preset), 38,
        [](ModelConfig& c) { c.group = 7, c.kv_heads = 2; });
    add("ecp_shift_heads" + in, small("ecp", preset), 57, [](ModelConfig& c) { c.shift_heads = true; });
    add("ecp_shift_heads_lookback" + in, small("ecp", preset), 57,
        [](ModelConfig& c) { c.shift_heads = true, c.block = 6, c.lookback = 2, c.rope = "all"; });
  }
  add("sliding_1", small("sliding", "modern"), 20, [](ModelConfig& c) { c.window = 1; });
  return all;
}

inline std::shared_ptr<const Model> build(const ModelConfig& config, const RandomWeights& weights,
                                          int threads = 2) {
  return Model::create(config, weights.tensors, nullptr, threads);
}

}  // namespace ecp
