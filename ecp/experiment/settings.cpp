#include "ecp/experiment/settings.h"

#include <algorithm>

#include "ecp/base/error.h"
#include "ecp/config/config_file.h"

namespace ecp {
namespace {

/// Rows for all fields of all configurations, one value for each configuration.
std::vector<SettingRow> side_by_side(const std::vector<const std::vector<Facts>*>& configs) {
  std::vector<SettingRow> rows;
  for (std::size_t i = 0; i < configs.size(); ++i) {
    for (const Facts& section : *configs[i]) {
      for (const auto& [key, value] : section.rows) {
        const std::string name = section.section + "." + key;
        auto row =
            std::find_if(rows.begin(), rows.end(), [&](const SettingRow& r) { return r.name == name; });
        if (row == rows.end()) row = rows.insert(row, {name, std::vector<std::string>(configs.size())});
        row->values[i] = value;
      }
    }
  }
  return rows;
}

bool is_same(const SettingRow& row) {
  return std::all_of(row.values.begin(), row.values.end(),
                     [&](const std::string& value) { return value == row.values.front(); });
}

}  // namespace

std::vector<SettingRow> differing_settings(const std::vector<std::vector<Facts>>& configs) {
  std::vector<const std::vector<Facts>*> all;
  for (const std::vector<Facts>& config : configs) all.push_back(&config);
  std::vector<SettingRow> rows = side_by_side(all);
  rows.erase(std::remove_if(rows.begin(), rows.end(), is_same), rows.end());
  return rows;
}

std::vector<SettingRow> differing_settings(const std::vector<Run>& runs) {
  std::vector<std::vector<Facts>> configs;
  for (const Run& run : runs) {
    if (run.config.empty()) return {};  // of it nothing is known
    configs.push_back(run.config);
  }
  return differing_settings(configs);
}

std::vector<SettingRow> changed_settings(const Run& run) {
  std::string chosen = "[model]\n";
  for (const char* key : {"architecture", "preset", "classes"}) {
    if (const std::string value = run.setting("model", key); !value.empty())
      chosen += fmt::format("{} = {}\n", key, value);
  }
  // Training needs data; what stands here besides isn't shown.
  const auto has = [&](const char* section, const char* key, const char* part) {
    return run.setting(section, key).find_first_of(part) != std::string::npos;
  };
  std::string key = "train", data = "sequence = 1024\n[data]\ntrain = [\"-\"]\n";
  if (has("model", "classes", "123456789")) {
    key = "images";
    data = "sequence = 1024\n[data]\nimages = \"-\"\n";
  } else if (has("data", "probe", "abcdefghijklmnopqrstuvwxyz")) {
    key = "probe";
    data = "sequence = 1024\n[data]\nprobe = \"passkey\"\n";
  }
  const std::vector<Facts> defaults =
      parse_resolved_config(to_toml(parse_config(chosen + data, run.folder.string())), "defaults");
  std::vector<SettingRow> rows = side_by_side({&run.config, &defaults});
  const auto uninteresting = [](const SettingRow& row) { return row.values[0].empty() || is_same(row); };
  rows.erase(std::remove_if(rows.begin(), rows.end(), uninteresting), rows.end());
  for (SettingRow& row : rows) {
    if (row.name == "data." + key) row.values[1].clear();
  }
  return rows;
}

}  // namespace ecp
