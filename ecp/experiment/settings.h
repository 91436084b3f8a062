// Which settings tell runs apart.
#pragma once

#include <string>
#include <vector>

#include "ecp/experiment/run.h"

namespace ecp {

/// A field whose values differ; as they stand in the configurations, "" where one doesn't have it.
struct SettingRow {
  std::string name;  // "train.lr"
  std::vector<std::string> values;
};

/// Fields that are not the same in all runs, in the order of their configurations.
std::vector<SettingRow> differing_settings(const std::vector<Run>& runs);
/// The same of resolved configurations.
std::vector<SettingRow> differing_settings(const std::vector<std::vector<Facts>>& configs);
/// A run's fields that are not the defaults (of its preset and architecture): {value, default} each. Fails if
/// the configuration names a preset or an architecture that is not known.
std::vector<SettingRow> changed_settings(const Run& run);

}  // namespace ecp
