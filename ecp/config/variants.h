// One configuration's counterparts: the same sizes and choices with another architecture, or at another
// length.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ecp/config/model_config.h"

namespace ecp {

/// The values of model.architecture.
std::vector<std::string> architecture_names();

/// `config` with another architecture: its sizes stay, choices that were the preset's become those of the
/// preset for the new one, other choices stay; what only one architecture has (`shift_heads`,
/// `first_block_output`) is the preset's. Not validated: some sizes don't fit some architectures.
ModelConfig with_architecture(const ModelConfig& config, const std::string& name);

/// `config` trained at n instead: every size in rows stays (those that were given as a share of n, too), ℓ
/// keeps its share of n. Not validated.
ModelConfig at_length(const ModelConfig& config, std::int64_t n);

}  // namespace ecp
