// The report's tables, as sections of a page; "" where there is nothing to show.
#pragma once

#include <string>
#include <vector>

#include "ecp/experiment/run.h"

namespace ecp {

/// What a run came to, as cards; several runs as a table with the best figures marked.
std::string summary_section(const std::vector<Run>& runs);
/// Evaluations that stand in the run folders, and baselines.
std::string evaluations_section(const std::vector<Run>& runs);
/// The settings that tell several runs apart; of one run, those that are not the defaults.
std::string settings_section(const std::vector<Run>& runs);
/// Starts, resumes, steps that were skipped, losses that were not finite.
std::string events_section(const std::vector<Run>& runs);

}  // namespace ecp
