// The curves of one run or of several, drawn over each other.
#pragma once

#include <string>
#include <vector>

#include "ecp/experiment/run.h"

namespace ecp {

/// A section of the page, "" if there is nothing to draw. Runs with different numbers of tokens per step are
/// drawn over tokens, others over steps.
std::string curves_section(const std::vector<Run>& runs);

}  // namespace ecp
