#include "ecp/config/variants.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "ecp/base/fields.h"
#include "tests/support/errors.h"

namespace ecp {
namespace {

ModelConfig preset_of(const std::string& architecture, const std::string& preset) {
  ModelConfig config;
  config.architecture = architecture;
  config.preset = preset;
  apply_preset(config);
  return config;
}

TEST(Variants, NamesAreTheFieldsValues) {
  const auto names = architecture_names();
  EXPECT_EQ(names.size(), 8u);
  for (const std::string name :
       {"ecp", "full", "perceiver_ar", "double", "split", "compressed", "shifted", "sliding"})
    EXPECT_EQ(std::count(names.begin(), names.end(), name), 1) << name;
}

TEST(Variants, AnotherArchitectureHasItsPresetsChoices) {
  for (const std::string preset : {"paper", "modern"}) {
    for (const std::string& from : architecture_names()) {
      for (const std::string& to : architecture_names()) {
        ModelConfig config = preset_of(from, preset), expected = preset_of(to, preset);
        config.dim = expected.dim = 96;
        config.latents = expected.latents = 100;
        config.ffn_bias = expected.ffn_bias = !config.ffn_bias;  // chosen by hand
        ModelConfig got = with_architecture(config, to);
        auto fields = FieldList(got).fields;
        const auto wanted = FieldList(expected).fields;
        for (std::size_t i = 0; i < fields.size(); ++i)
          EXPECT_EQ(to_toml(fields[i]), to_toml(wanted[i])) << from << " to " << to << ": " << fields[i].name;
        EXPECT_EQ(test::error_of([&] { got.validate(); }), "") << from << " to " << to;
      }
    }
  }
}

TEST(Variants, WhatOnlyOneArchitectureHasIsNotTakenAlong) {
  ModelConfig config = preset_of("ecp", "paper");
  config.shift_heads = true;
  EXPECT_TRUE(with_architecture(config, "ecp").shift_heads);
  EXPECT_FALSE(with_architecture(config, "full").shift_heads);
  EXPECT_FALSE(with_architecture(config, "full").first_block_output);
  EXPECT_TRUE(with_architecture(with_architecture(config, "double"), "ecp").first_block_output);
}

TEST(Variants, AtAnotherLengthSizesStayAndLatentsKeepTheirShare) {
  ModelConfig config = preset_of("split", "paper");
  config.sequence = 1000;
  config.latents = 400;
  config.history_segment = 100;
  const ModelConfig longer = at_length(config, 4000);
  EXPECT_EQ(longer.sequence, 4000);
  EXPECT_EQ(longer.latent_rows(), 1600);
  EXPECT_EQ(longer.segment_rows(), 100);
  EXPECT_EQ(at_length(preset_of("split", "paper"), 1).latents, 1);  // half of a row, as much as there is
  const ModelConfig shifted = preset_of("shifted", "modern");
  EXPECT_EQ(at_length(shifted, 8 * shifted.sequence).group_rows(), shifted.group_rows());
  EXPECT_EQ(at_length(shifted, shifted.sequence).group, 0);
}

}  // namespace
}  // namespace ecp
