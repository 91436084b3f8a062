// The run that a checkpoint is of.
#pragma once

#include <optional>

#include "ecp/config/train_config.h"
#include "ecp/weights/checkpoint.h"

namespace ecp {

/// Its configuration, if the checkpoint stands in a run's folder: RUN/checkpoints/NAME. Fails if it can't be
/// read.
std::optional<Config> config_of_run(const Checkpoint& checkpoint);

}  // namespace ecp
