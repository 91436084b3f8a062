// Counts against sums over every pair, and against closed formulas.
#include "ecp/config/complexity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <string>

#include "ecp/config/parameters.h"
#include "ecp/config/variants.h"
#include "tests/support/errors.h"

namespace ecp {
namespace {

using test::error_of;
using ::testing::HasSubstr;

ModelConfig config_of(const std::string& architecture, std::int64_t n, const std::string& preset = "paper") {
  ModelConfig config;
  config.architecture = architecture;
  config.preset = preset;
  apply_preset(config);
  config.sequence = n;
  config.dim = 16;
  config.heads = 4;
  config.layers = 5;
  config.block = 8;
  config.vocab = 11;
  return config;
}

/// Pairs of a query and a key that it sees, counted one by one.
std::int64_t pairs(const LayerPlan& plan) {
  std::int64_t count = 0;
  for (const AttentionCall& call : plan.calls) {
    for (std::int64_t row = call.first_query; row < call.first_query + call.queries; ++row) {
      const Interval seen = call.at(row);
      for (std::int64_t key = 0; key < call.keys; ++key)
        count += seen.lo <= key && key < seen.hi ? call.heads : 0;
    }
  }
  return count;
}

TEST(Complexity, EntriesAreAllPairsOfAllLayers) {
  for (const std::string& architecture : architecture_names()) {
    for (const std::int64_t n : {1, 7, 16, 40}) {
      for (const std::int64_t layers : {1, 2, 3, 5}) {
        ModelConfig config = config_of(architecture, 40);
        config.layers = layers;
        const Complexity cost = complexity(config, n);
        ASSERT_EQ(static_cast<std::int64_t>(cost.layers.size()), layers);
        std::int64_t visible = 0, dense = 0;
        for (std::int64_t layer = 0; layer < layers; ++layer) {
          const LayerPlan plan = layer_plan(config, layer, n);
          const LayerCost& of_layer = cost.layers[static_cast<std::size_t>(layer)];
          ASSERT_EQ(of_layer.entries.visible, pairs(plan))
              << architecture << " n " << n << " layer " << layer;
          ASSERT_EQ(of_layer.rows, plan.rows);
          ASSERT_EQ(of_layer.rows_out, plan.rows_out());
          visible += of_layer.entries.visible;
          dense += of_layer.entries.dense;
        }
        EXPECT_EQ(cost.entries.visible, visible);
        EXPECT_EQ(cost.entries.visible, attention_entries(config, n).visible);
        EXPECT_EQ(cost.entries.dense, dense);
        EXPECT_GE(dense, attention_entries(config, n).dense);
        EXPECT_DOUBLE_EQ(cost.flops.attention, 4.0 * 4 * static_cast<double>(visible));  // d_h = 4
      }
    }
  }
}

/// Products with weights, layer by layer, as the models multiply them.
TEST(Complexity, ProductsFollowFromTheWeights) {
  for (const std::string preset : {"paper", "modern"}) {
    for (const std::string& architecture : architecture_names()) {
      const std::int64_t n = 40;
      const ModelConfig config = config_of(architecture, n, preset);
      double expected = 0;
      for (const Parameter& parameter : parameters(config)) {
        if (parameter.shape.size() != 2 || parameter.name == "embedding.weight") continue;
        if (parameter.name.find(".out_0.") != std::string::npos) continue;  // instead of `out`, for some rows
        const double weights = static_cast<double>(parameter.elements());
        if (parameter.name.starts_with("classifier.")) {
          expected += 2 * weights * static_cast<double>(config.trained_rows(n));
          continue;
        }
        const std::int64_t layer = std::stoll(parameter.name.substr(parameter.name.find('.') + 1));
        const LayerPlan plan = layer_plan(config, layer, n);
        const auto named = [&](const char* name) { return parameter.name.find(name) != std::string::npos; };
        if (named(".compress.")) {
          expected += 2 * 2 * weights * static_cast<double>(config.dim);
        } else if (named(".q.")) {
          expected += 2 * weights * static_cast<double>(plan.rows - plan.first_out);
        } else if (named(".k.") || named(".v.") || named(".kv.")) {
          expected += 2 * weights * static_cast<double>(plan.rows);
        } else {
          expected += 2 * weights * static_cast<double>(plan.rows_out());
        }
      }
      const Complexity cost = complexity(config, n);
      const double tied = config.tie_embeddings ? 2.0 * 11 * 16 * static_cast<double>(cost.trained) : 0;
      EXPECT_DOUBLE_EQ(cost.flops.products(), expected + tied) << architecture << " " << preset;
      EXPECT_DOUBLE_EQ(cost.flops.backward(), 2.5 * cost.flops.attention + 2 * (expected + tied));
      EXPECT_EQ(cost.parameters, parameter_count(config));
      EXPECT_EQ(cost.inner_parameters, parameter_count(config, true));
    }
  }
}

TEST(Complexity, ClosedFormulas) {
  EXPECT_TRUE(rc::check("full, ecp and perceiver_ar at any length", [] {
    const std::int64_t b = *rc::gen::inRange(1, 40), blocks = *rc::gen::inRange(2, 60), n = b * blocks;
    ModelConfig config = config_of("ecp", n);
    config.block = b;
    const std::int64_t all = config.heads * config.layers;
    const Entries ecp = complexity(config, n).entries;
    RC_ASSERT(ecp.dense == all * (b * b + (blocks - 1) * 2 * b * b));
    RC_ASSERT(ecp.visible == all * (blocks * b * (b + 1) / 2 + (blocks - 1) * b * b));
    const Entries full = complexity(config_of("full", n), n).entries;
    RC_ASSERT(full.dense == all * n * n);
    RC_ASSERT(full.visible == all * n * (n + 1) / 2);
    ModelConfig latent = config_of("perceiver_ar", n);
    const std::int64_t l = latent.latents = *rc::gen::inRange<std::int64_t>(1, n);
    RC_ASSERT(complexity(latent, n).entries.dense == config.heads * (n * l + (config.layers - 1) * l * l));
  }));
}

TEST(Complexity, HistoryRowsOfTheLastLayerAreTheDenseCountsAlone) {
  const std::int64_t n = 64, l = 32, c = 32;
  const ModelConfig config = config_of("double", n);
  const LayerCost last = complexity(config, n).layers.back();
  EXPECT_EQ(last.entries.dense, config.heads * (n * l + c * c));
  EXPECT_EQ(last.entries.visible, config.heads * (c * l + l * (l + 1) / 2));
  EXPECT_EQ(last.queries, l);
}

TEST(Complexity, CachesAreWhatThePatternReaches) {
  const auto cache = [](const ModelConfig& config) { return complexity(config, 64).cache; };
  ModelConfig ecp = config_of("ecp", 64);
  EXPECT_EQ(cache(ecp).rows, 16);
  EXPECT_EQ(cache(ecp).bytes, 16.0 * 16 * 4 * 5);  // keys are the values
  ecp.lookback = 3;
  EXPECT_EQ(cache(ecp).rows, 32);
  ModelConfig modern = config_of("sliding", 64, "modern");
  modern.window = 10;
  modern.kv_heads = 2;
  EXPECT_EQ(cache(modern).rows, 10);
  EXPECT_EQ(cache(modern).bytes, 10.0 * 2 * 8 * 4 * 5);
  EXPECT_EQ(cache(config_of("full", 64)).kind, CacheCost::Kind::growing);
  EXPECT_EQ(cache(config_of("full", 64)).rows, 64);
  EXPECT_EQ(cache(config_of("double", 64)).kind, CacheCost::Kind::none);
  ecp.causal = false;
  EXPECT_EQ(cache(ecp).kind, CacheCost::Kind::none);
}

TEST(Complexity, ActivationsByHand) {
  ModelConfig config = config_of("ecp", 10, "modern");
  config.layers = 1;
  config.ffn_dim = 24;
  // Stream 2 × 16; inputs of the halves 2 × 16; queries, keys (both twice, for their norms), values, heads'
  // outputs 6 × 16; inner rows 2 × 24; and the last norm's two.
  EXPECT_EQ(activation_bytes(config, 10, false), 4.0 * 10 * (2 * 16 + 2 * 16 + 6 * 16 + 2 * 24 + 2 * 16));
  EXPECT_EQ(activation_bytes(config, 10, true),
            10.0 * (4 * (2 * 16 + 2 * 16) + 2 * (2 * 16 + 6 * 16 + 2 * 24)));
  const ModelConfig full = config_of("full", 64), latent = config_of("perceiver_ar", 64);
  EXPECT_LT(activation_bytes(latent, 64, false), activation_bytes(full, 64, false));
}

TEST(Complexity, ALargeModelIsCountedAtOnce) {
  ModelConfig config = config_of("full", most_counted);
  config.layers = 1024;
  EXPECT_THAT(error_of([&] {
                config.heads = 1024;
                config.dim = 2048;
                complexity(config, most_counted);
              }),
              HasSubstr("too many to count"));
  config.architecture = "ecp";
  EXPECT_GT(complexity(config, most_counted).entries.visible, 0);
  EXPECT_THAT(error_of([&] { complexity(config, 0); }),
              HasSubstr("expected a length from 1 to 16777216, got 0"));
  EXPECT_THAT(error_of([&] { complexity(config, most_counted + 1); }), HasSubstr("got 16777217"));
}

TEST(Complexity, WithoutAVocabularyTheRestIsCounted) {
  ModelConfig config = config_of("ecp", 64);
  const Complexity known = complexity(config, 64);
  config.vocab = 0;
  const Complexity unknown = complexity(config, 64);
  EXPECT_FALSE(unknown.parameters.has_value());
  EXPECT_EQ(unknown.inner_parameters, known.inner_parameters);
  EXPECT_EQ(unknown.flops.classifier, 0);
  EXPECT_EQ(unknown.flops.projections, known.flops.projections);
}

}  // namespace
}  // namespace ecp
