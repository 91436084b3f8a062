// Attention drawn from the plans that models execute (config/attention_plan.h), as inline SVG: which keys
// each row of a layer sees, and which tokens a row depends on after each layer. Colours come from the page's
// style sheet.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ecp/config/model_config.h"

namespace ecp {

/// A model small enough to be drawn.
struct PicturedModel {
  std::string name;  // as captions have it
  ModelConfig config;
};

/// All architectures at n tokens, and ecp's options; sizes are chosen to be seen.
std::vector<PicturedModel> pictured_models(std::int64_t n, std::int64_t layers);

/// <figure>s of the layers that differ (all but the last, where history rows are no queries) and of the
/// groups of heads that see differently: queries downward, keys to the right.
std::string attention_matrices(const PicturedModel& model);

/// The tokens that the last row depends on after each layer: reach[k][t] after k layers, k from 0; by
/// composing what each layer's calls see.
std::vector<std::vector<bool>> receptive_field(const ModelConfig& config);

/// A <figure> of the receptive field: tokens to the right, layers downward.
std::string receptive_field_picture(const PicturedModel& model);

}  // namespace ecp
