// One run or several as one self-contained web page: curves, evaluations, samples, configuration. No network;
// light and dark; readable on a telephone, and without scripts.
#pragma once

#include <string>
#include <vector>

#include "ecp/experiment/run.h"

namespace ecp {

/// The page for `runs`, at least one.
std::string render_report(const std::vector<Run>& runs);

}  // namespace ecp
