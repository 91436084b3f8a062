#include "ecp/experiment/attention_picture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "ecp/config/attention_plan.h"
#include "ecp/config/variants.h"

namespace ecp {
namespace {

PicturedModel pictured(const std::string& name, std::int64_t n, std::int64_t layers) {
  for (const PicturedModel& model : pictured_models(n, layers)) {
    if (model.name == name) return model;
  }
  return {};
}

std::int64_t first_reached(const std::vector<bool>& row) {
  return std::find(row.begin(), row.end(), true) - row.begin();
}

TEST(AttentionPicture, EveryArchitectureIsPicturedAndValid) {
  std::vector<std::string> architectures;
  for (const PicturedModel& model : pictured_models(32, 3)) {
    model.config.validate();
    architectures.push_back(model.config.architecture);
  }
  for (const std::string& name : architecture_names()) EXPECT_THAT(architectures, ::testing::Contains(name));
}

/// Cells of the paths with these classes: Σ of the runs' widths.
std::int64_t cells_drawn(const std::string& html, const std::string& classes) {
  std::int64_t sum = 0;
  for (std::size_t at = html.find(classes); at != std::string::npos; at = html.find(classes, at + 1)) {
    const std::size_t end = html.find("\"/>", at);
    for (std::size_t run = html.find('h', html.find("d=\"", at)); run < end; run = html.find('h', run + 1)) {
      if (html[run + 1] != '-') sum += std::stoll(html.substr(run + 1));
    }
  }
  return sum;
}

std::int64_t count_of(const std::string& html, const std::string& part) {
  std::int64_t count = 0;
  for (std::size_t at = html.find(part); at != std::string::npos; at = html.find(part, at + 1)) ++count;
  return count;
}

TEST(AttentionPicture, MatricesDrawWhatThePlansCount) {
  const std::int64_t n = 32;
  for (const PicturedModel& model : pictured_models(n, 3)) {
    const std::string html = attention_matrices(model);
    std::vector<LayerPlan> plans{layer_plan(model.config, 0, n)};
    const LayerPlan second = layer_plan(model.config, 1, n);
    if (second.rows != plans[0].rows) plans.push_back(second);
    std::int64_t expected = 0, figures = 0;
    for (const LayerPlan& plan : plans) {
      for (const AttentionCall& call : plan.calls) {
        expected += call.entries().visible;
        figures += call.first_query + call.queries == plan.rows ? 1 : 0;  // history rows are in the same
      }
    }
    const std::int64_t history = cells_drawn(html, "fill s1"), trained = cells_drawn(html, "fill s0");
    EXPECT_EQ(history + trained, expected) << model.name;
    EXPECT_EQ(history > 0, model.config.has_unmasked_history()) << model.name;
    EXPECT_EQ(count_of(html, "<figure>"), figures) << model.name;
    EXPECT_EQ(count_of(html, "<title>" + model.name + ": "), figures) << model.name;
    EXPECT_EQ(count_of(html, "<desc>"), figures) << model.name;
  }
}

TEST(AttentionPicture, ReceptiveFieldsAreTheIntervalsComposed) {
  const std::int64_t n = 64, layers = 5;
  for (const char* name : {"ecp", "ecp, lookback 2", "sliding", "full"}) {
    const ModelConfig config = pictured(name, n, layers).config;
    const Pattern pattern = head_groups(config).at(0).pattern;
    const auto field = receptive_field(config);
    ASSERT_EQ(field.size(), static_cast<std::size_t>(layers + 1));
    for (std::int64_t layer = 0; layer <= layers; ++layer) {
      const std::vector<bool>& row = field[static_cast<std::size_t>(layer)];
      EXPECT_EQ(first_reached(row), pattern.reach(n - 1, layer)) << name << " layer " << layer;
      EXPECT_EQ(std::count(row.begin(), row.end(), true), n - first_reached(row)) << name;
    }
  }
}

TEST(AttentionPicture, LatentsSeeEverythingAtOnce) {
  for (const char* name : {"perceiver_ar", "double", "split", "compressed"}) {
    const auto field = receptive_field(pictured(name, 64, 5).config);
    EXPECT_EQ(first_reached(field[0]), 63) << name;
    EXPECT_EQ(first_reached(field[1]), 0) << name;
  }
}

TEST(AttentionPicture, FieldsBeginWhereTheReachIs) {
  for (const std::int64_t layers : {1, 2, 5}) {
    for (const PicturedModel& model : pictured_models(64, layers)) {
      EXPECT_EQ(first_reached(receptive_field(model.config).back()), reach(model.config, 63)) << model.name;
    }
  }
}

TEST(AttentionPicture, ShiftedGroupsCarryHalfAGroupALayer) {
  const auto field = receptive_field(pictured("shifted", 64, 5).config);  // groups of 16
  EXPECT_EQ(first_reached(field[1]), 48);
  EXPECT_EQ(first_reached(field[2]), 40);
  EXPECT_EQ(first_reached(field[3]), 32);
}

}  // namespace
}  // namespace ecp
