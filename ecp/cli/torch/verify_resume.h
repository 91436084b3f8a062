// ecp train --verify-resume: proof, on the user's own configuration, that stopping changes nothing.
#pragma once

#include <cstdint>

#include "ecp/base/files.h"
#include "ecp/config/train_config.h"

namespace ecp::cli {

/// Trains 2·`steps` steps whole, and again with a stop after a random one, going on in a new process; then
/// compares all that was computed and prints the result. `folder` must not exist and holds both runs
/// meanwhile; it is deleted unless they differ, which is an Error.
void verify_resume(Config config, const Path& folder, std::int64_t steps);

}  // namespace ecp::cli
