// Checkpoints that training can go on from (weights/checkpoint.h with optimizer and training state).
#pragma once

#include <functional>

#include "ecp/base/files.h"
#include "ecp/model/backbone.h"
#include "ecp/train/optimizer.h"
#include "ecp/train/training_state.h"

namespace ecp {

/// Writes what a task adds to the folder of a checkpoint.
using SaveBeside = std::function<void(const Path& folder)>;

/// Writes the folder whole or not at all. An existing one is replaced in one step; where the file system
/// can't do that, it stays as it was. Fails with NoSpace on a full disk.
void save_checkpoint(const Path& folder, const Backbone& model, const AdamW& optimizer,
                     const SaveBeside& save_beside, const TrainingState& state);
/// Verifies the folder and restores weights and moments; fails if it is damaged or not of this model.
TrainingState load_checkpoint(const Path& folder, Backbone& model, AdamW& optimizer);

}  // namespace ecp
