#include "ecp/config/model_config.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>

#include "ecp/config/parameters.h"
#include "tests/support/errors.h"

namespace ecp {
namespace {

ModelConfig make(const std::string& preset, const std::string& architecture = "ecp") {
  ModelConfig config;
  config.preset = preset;
  config.architecture = architecture;
  apply_preset(config);
  config.vocab = 1000;
  return config;
}

std::string error_with(ModelConfig config, const std::function<void(ModelConfig&)>& change) {
  change(config);
  return test::error_of([&] { config.validate(); });
}

TEST(ModelConfig, ThePapersParameterCounts) {
  // d 768, H 6, the vocabulary of bert-base-cased: the paper's 87M, 129.60M, 172.12M and 214.64M, exactly.
  ModelConfig config = make("paper");
  config.dim = 768;
  config.heads = 6;
  config.vocab = 28996;
  const std::pair<std::int64_t, std::int64_t> expected[] = {
      {6, 87087940}, {12, 129607492}, {18, 172127044}, {24, 214646596}};
  for (const auto& [layers, count] : expected) {
    config.layers = layers;
    EXPECT_EQ(parameter_count(config), count) << layers << " layers";
  }
}

TEST(ModelConfig, CountsWithoutEmbeddingsLeaveTheLayers) {
  ModelConfig config = make("modern");
  config.dim = 64;
  config.heads = 4;
  config.layers = 3;
  // Per layer q, k, v, out (4 d²), SwiGLU (3 d f), norms (2 d) and query and key norms (2 d_h); then the last
  // norm.
  const std::int64_t d = 64, f = 192, per_layer = 4 * d * d + 3 * d * f + 2 * d + 2 * 16;
  EXPECT_EQ(config.inner_dim(), f);
  EXPECT_EQ(parameter_count(config, true), 3 * per_layer + d);
  EXPECT_EQ(parameter_count(config), 3 * per_layer + d + 1000 * d) << "tied: one embedding";
  config.tie_embeddings = false;
  EXPECT_EQ(parameter_count(config), 3 * per_layer + d + 2 * 1000 * d);
}

TEST(ModelConfig, GroupedKeyHeadsShrinkKeysAndValues) {
  ModelConfig config = make("modern");
  config.dim = 64;
  config.heads = 8;
  config.kv_heads = 2;
  EXPECT_EQ(config.key_heads(), 2);
  config.validate();
  for (const Parameter& parameter : parameters(config)) {
    if (parameter.name.ends_with("attention.k.weight") || parameter.name.ends_with("attention.v.weight")) {
      EXPECT_EQ(parameter.shape, (std::vector<std::int64_t>{16, 64})) << parameter.name;
    }
  }
}

TEST(ModelConfig, NamesAreUniqueAndDecayIsForLinearWeights) {
  for (const char* preset : {"paper", "modern"}) {
    for (const char* architecture : {"ecp", "full"}) {
      std::set<std::string> names;
      for (const Parameter& parameter : parameters(make(preset, architecture))) {
        EXPECT_TRUE(names.insert(parameter.name).second) << parameter.name;
        const bool linear = parameter.shape.size() == 2 && !parameter.name.starts_with("embedding.");
        EXPECT_EQ(parameter.decay, linear) << parameter.name;
        if (parameter.name.find("norm.weight") != std::string::npos) {
          EXPECT_EQ(parameter.initializer, Initializer::ones) << parameter.name;
        }
      }
      const bool first_block = std::string(preset) == "paper" && std::string(architecture) == "ecp";
      EXPECT_EQ(names.contains("layers.0.attention.out_0.weight"), first_block);
      EXPECT_EQ(names.contains("layers.0.attention.kv.weight"), std::string(preset) == "paper");
    }
  }
}

TEST(ModelConfig, ResidualProjectionsStartSmaller) {
  ModelConfig config = make("modern");
  config.layers = 8;
  for (const Parameter& parameter : parameters(config)) {
    if (!parameter.decay) continue;
    const bool residual =
        parameter.name.ends_with("attention.out.weight") || parameter.name.ends_with("ffn.down.weight");
    EXPECT_DOUBLE_EQ(parameter.scale, residual ? 0.02 / 4 : 0.02) << parameter.name;
  }
}

TEST(ModelConfig, InnerWidths) {
  ModelConfig config = make("modern");
  config.dim = 256;
  EXPECT_EQ(config.inner_dim(), 704) << "8·256/3 = 682, up to a multiple of 64";
  config.dim = 96;
  EXPECT_EQ(config.inner_dim(), 256) << "exactly a multiple already";
  config.ffn_dim = 100;
  EXPECT_EQ(config.inner_dim(), 100);
  config = make("paper");
  config.dim = 256;
  EXPECT_EQ(config.inner_dim(), 1024);
}

TEST(ModelConfig, RotatingLayers) {
  ModelConfig config = make("paper");
  EXPECT_TRUE(config.rotates(0));
  EXPECT_FALSE(config.rotates(1));
  config = make("modern");
  EXPECT_TRUE(config.rotates(0) && config.rotates(3));
  config.rope = "none";
  EXPECT_FALSE(config.rotates(0));
}

TEST(ModelConfig, SizesThatArentGivenAreSharesOfTheWindow) {
  ModelConfig config = make("modern");
  config.sequence = 1024;
  EXPECT_EQ(config.latent_rows(), 512);
  EXPECT_EQ(config.segment_rows(), 256);
  EXPECT_EQ(config.compressed_rows(), 128);
  EXPECT_EQ(config.group_rows(), 256);
  EXPECT_EQ(config.window_keys(), 256);
  EXPECT_EQ(config.trained_rows(1000), 1000);
  config.architecture = "double";
  EXPECT_EQ(config.trained_rows(1000), 512);
  EXPECT_EQ(config.trained_rows(100), 100);
  config.latents = 768;
  EXPECT_EQ(config.trained_rows(1000), 768);
  EXPECT_EQ(config.segment_rows(), 128);
}

TEST(ModelConfig, ArchitecturesAreChecked) {
  const auto of = [](const std::string& architecture, const std::string& preset) {
    ModelConfig config;
    config.architecture = architecture;
    config.preset = preset;
    apply_preset(config);
    config.sequence = 64;
    return config;
  };
  for (const char* preset : {"paper", "modern"}) {
    for (const char* architecture :
         {"ecp", "full", "perceiver_ar", "double", "split", "compressed", "shifted", "sliding"})
      EXPECT_EQ(error_with(of(architecture, preset), [](auto&) {}), "") << architecture << " " << preset;
  }
  EXPECT_EQ(of("double", "paper").rope, "all");
  EXPECT_EQ(of("split", "paper").rope, "first");
  EXPECT_EQ(of("split", "paper").qk_norm, "layer");
  EXPECT_EQ(error_with(of("perceiver_ar", "paper"), [](auto& c) { c.latents = 64; }),
            "model.latents: expected 1 to 63 (less than model.sequence), got 64");
  EXPECT_EQ(error_with(of("double", "modern"), [](auto& c) { c.sequence = 1; }),
            "model.latents: expected 1 to 0 (less than model.sequence), got 0");
  EXPECT_EQ(error_with(of("split", "paper"), [](auto& c) { c.history_segment = 12; }),
            "model.history_segment: expected a divisor of the history of 32 rows (sequence 64 - latents 32), "
            "got 12");
  EXPECT_EQ(error_with(of("compressed", "paper"), [](auto& c) { c.compressed_history = 32; }),
            "model.compressed_history: expected less than the history of 32 rows (sequence 64 - latents 32), "
            "got 32");
  EXPECT_EQ(error_with(of("shifted", "modern"), [](auto& c) { c.heads = 1; }),
            "model.heads: expected an even number, since half of the heads are shifted, got 1");
  EXPECT_EQ(error_with(of("shifted", "modern"), [](auto& c) { c.heads = 4, c.kv_heads = 1; }),
            "model.kv_heads: expected an even number, since half of the heads are shifted, got 1");
  EXPECT_EQ(error_with(of("shifted", "modern"), [](auto& c) { c.group = 1; }),
            "model.group: expected at least 2, got 1");
  EXPECT_EQ(error_with(of("full", "modern"), [](auto& c) { c.shift_heads = true; }),
            "model.shift_heads: expected model.architecture = \"ecp\" with it, got \"full\"");
  EXPECT_EQ(error_with(of("ecp", "modern"), [](auto& c) { c.shift_heads = true, c.block = 1; }),
            "model.block: expected at least 2 with model.shift_heads, got 1");
  EXPECT_EQ(error_with(of("double", "modern"), [](auto& c) { c.causal = false; }),
            "model.causal: expected model.architecture \"ecp\" or \"full\" with false, got \"double\"");
  EXPECT_NE(error_with(of("ecp", "paper"), [](auto& c) { c.qk_norm = "layer"; }), "");
  EXPECT_NE(error_with(of("double", "modern"), [](auto& c) { c.qk_norm = "layer"; }), "");
}

TEST(ModelConfig, CompressionIsALayerOfItsOwn) {
  ModelConfig config = make("paper");
  config.architecture = "compressed";
  apply_preset(config);
  config.sequence = 64;
  config.latents = 24;
  config.compressed_history = 8;
  const auto shape_of = [&](const std::string& name) {
    for (const Parameter& parameter : parameters(config)) {
      if (parameter.name == name) return parameter.shape;
    }
    return std::vector<std::int64_t>();
  };
  EXPECT_EQ(shape_of("layers.0.attention.compress.weight"), (std::vector<std::int64_t>{8, 40}));
  EXPECT_EQ(shape_of("layers.0.attention.compress.bias"), std::vector<std::int64_t>{8});
  EXPECT_TRUE(shape_of("layers.1.attention.compress.weight").empty());
  EXPECT_EQ(shape_of("layers.1.attention.kv_norm.bias"), std::vector<std::int64_t>{config.head_dim()});
}

TEST(ModelConfig, ChoicesMustFitTogether) {
  const ModelConfig paper = make("paper"), modern = make("modern");
  EXPECT_EQ(error_with(paper, [](auto&) {}), "");
  EXPECT_EQ(error_with(modern, [](auto&) {}), "");
  EXPECT_EQ(error_with(modern, [](auto& c) { c.heads = 5; }),
            "model.heads: expected a divisor of model.dim 256, got 5");
  EXPECT_EQ(error_with(modern, [](auto& c) { c.dim = 12, c.heads = 4; }),
            "model.heads: expected an even head width, got 3 = dim 12 / heads 4");
  EXPECT_EQ(error_with(modern, [](auto& c) { c.kv_heads = 3; }),
            "model.kv_heads: expected a divisor of model.heads 4, got 3");
  EXPECT_NE(error_with(modern, [](auto& c) { c.kv_heads = 8; }), "") << "more than heads";
  EXPECT_NE(error_with(modern, [](auto& c) { c.rotate_values = true; }), "");
  EXPECT_NE(error_with(modern, [](auto& c) { c.shared_kv = true; }), "");
  EXPECT_NE(error_with(paper, [](auto& c) { c.qk_norm = "rms"; }), "");
  EXPECT_NE(error_with(paper, [](auto& c) { c.architecture = "full"; }), "")
      << "first_block_output belongs to ecp";
  EXPECT_EQ(error_with(paper, [](auto& c) { c.rope = "none", c.rotate_values = false; }), "");
}

TEST(ModelConfig, SizesThatOverflowAreRefused) {
  ModelConfig config = make("modern");
  config.dim = 1 << 16;
  config.layers = 1024;
  config.vocab = 1 << 24;
  EXPECT_GT(parameter_count(config), 0) << "the largest that the ranges allow still counts";
  config.vocab = 0;
  EXPECT_EQ(test::error_of([&] { parameters(config); }), "model.vocab: expected at least 1, got 0");
  const Parameter big{"big", {INT64_MAX, 3}, Initializer::zeros, 0, false};
  EXPECT_EQ(test::error_of([&] { static_cast<void>(big.elements()); }), "parameter big: its size overflows");
}

}  // namespace
}  // namespace ecp
