// Plans against the architectures' definitions, key by key, and their counts against sums and formulas.
#include "ecp/config/attention_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/errors.h"

namespace ecp {
namespace {

using test::error_of;
using ::testing::HasSubstr;

ModelConfig config_of(const std::string& architecture, std::int64_t n, std::int64_t latents = 0) {
  ModelConfig config;
  config.architecture = architecture;
  apply_preset(config);
  config.sequence = n;
  config.latents = latents;
  config.dim = 16;
  config.heads = 4;
  config.layers = 3;
  return config;
}

std::vector<ModelConfig> cases(std::int64_t n) {
  std::vector<ModelConfig> all;
  const auto add = [&](const ModelConfig& config) {
    if (error_of([&] { config.validate(); }).empty()) all.push_back(config);
  };
  for (const char* architecture : {"full", "ecp", "shifted", "sliding"}) add(config_of(architecture, n));
  for (const std::int64_t size : {1, 2, 5, 8, 64}) {
    ModelConfig ecp = config_of("ecp", n);
    ecp.block = size;
    add(ecp);
    ecp.lookback = 3;
    ecp.shift_heads = true;
    add(ecp);
    ModelConfig shifted = config_of("shifted", n);
    shifted.group = size;
    add(shifted);
    ModelConfig sliding = config_of("sliding", n);
    sliding.window = size;
    add(sliding);
    for (const char* architecture : {"perceiver_ar", "double", "split", "compressed"}) {
      ModelConfig latent = config_of(architecture, n, size);
      add(latent);
      latent.history_segment = 1;
      latent.compressed_history = 1;
      add(latent);
      latent.history_segment = 3;
      add(latent);
    }
  }
  return all;
}

std::string name_of(const ModelConfig& config, std::int64_t n) {
  return config.architecture + " n " + std::to_string(n) + " latents " + std::to_string(config.latents) +
         " block " + std::to_string(config.block) + " segment " + std::to_string(config.segment_rows());
}

/// The definitions, of rows that have queries: in layer 0 a window's tokens, later what is left of them.
bool sees(const ModelConfig& config, std::int64_t layer, std::int64_t n, std::int64_t head, std::int64_t row,
          std::int64_t key) {
  const std::string& is = config.architecture;
  const bool other_half = head >= config.heads / 2;
  if (is == "full") return key <= row;
  if (is == "sliding") return key <= row && row - key < config.window_keys();
  if (is == "shifted" || is == "ecp") {
    const std::int64_t size = is == "ecp" ? config.block : config.group_rows();
    const std::int64_t shift = other_half && (is == "shifted" || config.shift_heads) ? size / 2 : 0;
    const std::int64_t blocks = (row + shift) / size - (key + shift) / size;
    return key <= row && blocks <= (is == "ecp" ? config.lookback : 0);
  }
  std::int64_t history = n - std::min(n, config.latent_rows());
  if (layer > 0 && is == "perceiver_ar") history = 0;
  if (layer > 0 && is == "compressed") history = config.compressed_rows();
  if (row >= history) return key <= row;
  if (key >= history) return false;
  return is != "split" ||
         (history - 1 - row) / config.segment_rows() == (history - 1 - key) / config.segment_rows();
}

TEST(AttentionPlan, CallsAreTheDefinitionForEveryLength) {
  for (std::int64_t n = 1; n <= 70; n += n < 20 ? 1 : 7) {
    for (const std::int64_t trained : {n, n + 4}) {
      for (const ModelConfig& config : cases(trained)) {
        for (std::int64_t layer = 0; layer < config.layers; ++layer) {
          const LayerPlan plan = layer_plan(config, layer, n);
          Entries sum;
          std::vector<int> answered(static_cast<std::size_t>(plan.rows * config.heads), 0);
          for (const AttentionCall& call : plan.calls) {
            std::int64_t visible = 0;
            for (std::int64_t row = call.first_query; row < call.first_query + call.queries; ++row) {
              const Interval seen = call.at(row);
              visible += seen.size();
              for (std::int64_t head = call.first_head; head < call.first_head + call.heads; ++head) {
                ++answered[static_cast<std::size_t>(row * config.heads + head)];
                for (std::int64_t key = 0; key < plan.rows; ++key) {
                  ASSERT_EQ(seen.lo <= key && key < seen.hi, sees(config, layer, n, head, row, key))
                      << name_of(config, n) << " layer " << layer << " row " << row << " key " << key;
                }
              }
            }
            ASSERT_EQ(call.entries().visible, visible) << name_of(config, n) << " layer " << layer;
            ASSERT_GE(call.entries().dense, visible) << name_of(config, n) << " layer " << layer;
            sum += {visible * call.heads, 0};
          }
          ASSERT_EQ(plan.entries().visible, sum.visible) << name_of(config, n);
          for (std::int64_t row = 0; row < plan.rows; ++row) {  // each row once, or not at all
            for (std::int64_t head = 0; head < config.heads; ++head)
              ASSERT_EQ(answered[static_cast<std::size_t>(row * config.heads + head)],
                        row >= plan.first_out ? 1 : 0)
                  << name_of(config, n) << " layer " << layer << " row " << row;
          }
          if (layer + 1 < config.layers) {
            ASSERT_EQ(plan.rows_out(), layer_plan(config, layer + 1, n).rows) << name_of(config, n);
          } else {
            ASSERT_EQ(plan.rows_out(), config.trained_rows(n)) << name_of(config, n);
          }
        }
      }
    }
  }
}

TEST(AttentionPlan, DenseEntriesFollowThePapersFormulas) {
  // One head; a layer that is neither the first nor the last, and the first.
  const std::int64_t n = 4096, l = 2048, c = n - l, s = 256, p = 256, b = 256;
  const auto dense = [&](ModelConfig config, std::int64_t layer) {
    config.history_segment = s;
    config.compressed_history = p;
    config.block = b;
    config.group = 512;
    config.window = 512;
    return layer_plan(config, layer, n).entries().dense / config.heads;
  };
  EXPECT_EQ(dense(config_of("full", n), 1), n * n);
  EXPECT_EQ(dense(config_of("perceiver_ar", n, l), 0), n * l);
  EXPECT_EQ(dense(config_of("perceiver_ar", n, l), 1), l * l);
  for (const std::int64_t layer : {0, 1}) {
    EXPECT_EQ(dense(config_of("double", n, l), layer), n * l + c * c);
    EXPECT_EQ(dense(config_of("split", n, l), layer), n * l + c * s);
    EXPECT_EQ(dense(config_of("ecp", n), layer), b * b + (n / b - 1) * 2 * b * b);
    EXPECT_EQ(dense(config_of("shifted", n), layer), n * 512);
    EXPECT_EQ(dense(config_of("sliding", n), layer), n * 512);
  }
  EXPECT_EQ(dense(config_of("compressed", n, l), 0), n * l + c * c);
  EXPECT_EQ(dense(config_of("compressed", n, l), 1), (p + l) * l + p * p);
  // In the last layer nothing asks for history rows.
  EXPECT_EQ(dense(config_of("double", n, l), 2), n * l);
}

TEST(AttentionPlan, EntriesOfAModelAreDenseAsThePaperCounts) {
  const auto entries = [](ModelConfig config) {  // Table 8
    config.heads = 24;
    config.layers = 48;
    return attention_entries(config, config.sequence);
  };
  EXPECT_EQ(entries(config_of("full", 4096)).dense / 1'000'000, 19327);
  EXPECT_EQ(entries(config_of("perceiver_ar", 4096, 2048)).dense / 1'000'000, 4932);
  const Entries doubled = entries(config_of("double", 4096, 2048));
  EXPECT_EQ(doubled.dense / 1'000'000, 14495);
  // Of the history's rows in the last layer, which nobody reads, nothing is computed.
  EXPECT_EQ(doubled.visible, 24 * (48 * (4096LL * 4097 / 2 - 2048LL * 2049 / 2) + 47 * 2048LL * 2048));
}

TEST(AttentionPlan, ReachIsThatOfThePatternThroughAllLayers) {
  for (const std::int64_t layers : {1, 3}) {
    ModelConfig config = config_of("ecp", 70);
    config.block = 8;
    config.layers = layers;
    for (std::int64_t row = 0; row < 70; ++row)
      EXPECT_EQ(reach(config, row), Pattern::ecp(8).reach(row, layers)) << row;
  }
  const ModelConfig latent = config_of("double", 70, 20);
  EXPECT_EQ(reach(latent, 50), 0);
  EXPECT_THAT(error_of([&] { (void)reach(latent, 49); }), HasSubstr("expected one of the last 20 of 70"));
}

TEST(AttentionPlan, BidirectionalModelsSeeWhatComesAfter) {
  ModelConfig ecp = config_of("ecp", 64), full = config_of("full", 64);
  ecp.block = 8;
  ecp.causal = full.causal = false;
  const AttentionCall call = layer_plan(ecp, 0, 60).calls.at(0);
  EXPECT_EQ(call.at(0), (Interval{0, 16}));
  EXPECT_EQ(call.at(20), (Interval{8, 32}));
  EXPECT_EQ(call.at(59), (Interval{48, 60}));
  EXPECT_EQ(layer_plan(full, 0, 60).calls.at(0).at(3), (Interval{0, 60}));
}

TEST(AttentionPlan, LatentArchitecturesTakeNoMoreThanTheirLength) {
  EXPECT_EQ(error_of([] { layer_plan(config_of("double", 64), 0, 65); }),
            "model: architecture double takes at most 64 tokens (model.sequence) at a time, got 65");
  EXPECT_THAT(error_of([] { head_groups(config_of("double", 64)); }),
              HasSubstr("expected one without latents"));
  EXPECT_EQ(layer_plan(config_of("ecp", 64), 0, 65).rows, 65);
}

}  // namespace
}  // namespace ecp
