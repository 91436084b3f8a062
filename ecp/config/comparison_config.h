// A comparison as a file: which configurations are trained on the same data, for how long, with which seeds,
// and what is scored at the end.
//
//   [compare]
//   tokens = 1_500_000            # processed by each run
//   seeds = [1, 2]
//   test = ["data/test.npy"]
//   set = ["model.dim=256"]       # for all models, after what their configurations say
//
//   [[model]]
//   name = "full"
//   config = "configs/small.toml"
//   set = ["model.architecture=full"]
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ecp/base/files.h"

namespace ecp {

struct ComparedModel {
  std::string name;              // letters, digits, '-', '_', '.', '+'; unique
  std::string config;            // file
  std::vector<std::string> set;  // "section.key=value"
  std::string source = "";       // where a stored configuration came from, for people
};

struct ComparisonConfig {
  std::int64_t tokens = 0;  // processed by each run; 0: what the configurations come to, the same for all
  std::vector<std::int64_t> seeds = {1};
  std::vector<std::string> test;  // token files; none: the validation file
  std::vector<std::string> set;   // for all models
  std::vector<ComparedModel> models;

  /// Fails if there is no model or no seed, or if a name or a seed stands twice.
  void validate() const;
};

/// Whether TOML text is a comparison: it has a section [compare] or a list [[model]].
bool is_comparison(std::string_view text, std::string_view name);
/// Fails with file:line as `parse_config` does. A model without `name` has that of its configuration's file.
ComparisonConfig parse_comparison(std::string_view text, std::string_view name);
std::string to_toml(const ComparisonConfig& config);

/// From training configurations, named after their files.
ComparisonConfig comparison_of(const std::vector<std::string>& configs);

}  // namespace ecp
