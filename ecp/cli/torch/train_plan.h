// ecp train --plan: what a training would take, and what fits.
#pragma once

#include "ecp/config/train_config.h"

namespace ecp::cli {

/// Prints a table, or one JSON object, and trains nothing but one or two steps on random tokens to see
/// whether the figures are right, where that takes no more than moments. Ends with 1 if nothing fits.
void show_plan(const Config& config, bool json);

}  // namespace ecp::cli
