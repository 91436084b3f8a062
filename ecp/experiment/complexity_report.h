// Architectures beside each other: what each costs at the same sizes, and what the paper prints.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ecp/config/complexity.h"

namespace ecp {

struct CountedModel {
  std::string architecture;
  ModelConfig config;  // at the length of the report
  Complexity cost;
};

struct ComplexityReport {
  std::string name;  // of the configuration
  std::vector<CountedModel> models;
  std::vector<std::string> left_out;  // "split: why it can't have these sizes"
  bool paper = false;                 // the setting of the paper's table: printed figures stand beside ours
};

/// Counts `config` as each of `architectures`, at n tokens (`at_length`). An architecture that can't have
/// these sizes is left out with a reason; its own one, and a name that isn't one, are errors.
ComplexityReport count_architectures(const std::string& name, const ModelConfig& config,
                                     const std::vector<std::string>& architectures, std::int64_t n);

/// The setting of the paper's Table 8. What it doesn't say (widths, vocabulary) is ours and changes no entry;
/// groups and windows are such that a row sees about as many keys as in ecp.
ModelConfig paper_setting();

/// A row of the paper's Table 8 (its second version's).
struct PrintedEntries {
  std::string architecture;
  std::int64_t millions = 0;
  int percent = 0;
  std::string note;  // why it isn't ours; empty: ours is the same
};
const std::vector<PrintedEntries>& printed_entries();
/// The row for an architecture; null for those that the paper's table doesn't have.
const PrintedEntries* printed_entries(const std::string& name);

/// Entries in whole millions, cut off as the paper has them.
std::int64_t millions(std::int64_t entries);

}  // namespace ecp
