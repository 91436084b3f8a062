// Configurations as files: TOML as people write it, resolved TOML in run folders, JSON beside weights.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ecp/base/files.h"
#include "ecp/config/train_config.h"

namespace ecp {

/// Reads a TOML configuration; `overrides` are "section.key=value". The preset's choices apply first, then
/// the file, then the overrides. Fails with file:line on syntax, unknown keys ("did you mean"), wrong types
/// and ranges, and on sections that don't fit together (`Config::validate`).
Config read_config(const Path& path, const std::vector<std::string>& overrides = {});
/// The same from text; `name` stands for the file in messages.
Config parse_config(std::string_view text, std::string_view name,
                    const std::vector<std::string>& overrides = {});
/// "section.key=value" of a command line, taken apart; fails if it isn't one. `parse_override` of
/// base/fields.h makes sense of the value.
struct Override {
  std::string section, key, value;
};
Override split_override(const std::string& text);

/// The resolved configuration, every field written out; `read_config` of it gives the same again.
/// With `help`, each field is preceded by its explanation.
std::string to_toml(const Config& config, bool help = false);

/// `config.json` beside weights: {"format": "ecp-model", "version": 1, "model": {...}}. Strict like TOML.
std::string to_json(const ModelConfig& config);
ModelConfig parse_model_json(std::string_view text, std::string_view name);

}  // namespace ecp
