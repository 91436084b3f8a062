#include "ecp/config/variants.h"

#include <algorithm>
#include <cmath>

#include "ecp/base/fields.h"

namespace ecp {

std::vector<std::string> architecture_names() {
  ModelConfig config;
  return find_field(FieldList(config).fields, "model", "architecture", "").choices;
}

ModelConfig with_architecture(const ModelConfig& config, const std::string& name) {
  if (name == config.architecture) return config;
  ModelConfig given = config, preset = config, result = config;
  apply_preset(preset);
  result.architecture = name;
  apply_preset(result);
  const ModelConfig new_preset = result;
  const std::vector<Field> from = FieldList(given).fields, usual = FieldList(preset).fields,
                           to = FieldList(result).fields;
  for (std::size_t i = 0; i < to.size(); ++i) {
    if (to_toml(from[i]) == to_toml(usual[i])) continue;  // the preset's choice, as sizes always are
    std::visit([&](auto* value) { *value = *std::get<decltype(value)>(from[i].value); }, to[i].value);
  }
  result.shift_heads = false;
  result.first_block_output = new_preset.first_block_output;
  return result;
}

ModelConfig at_length(const ModelConfig& config, std::int64_t n) {
  if (n == config.sequence) return config;
  ModelConfig result = config.resolved();
  const double share = static_cast<double>(n) / static_cast<double>(config.sequence);
  result.sequence = n;
  if (result.latents > 0)
    result.latents = std::max<std::int64_t>(1, std::llround(static_cast<double>(result.latents) * share));
  return result;
}

}  // namespace ecp
