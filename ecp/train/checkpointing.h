// Checkpoints that training can go on from (weights/checkpoint.h with optimizer and training state).
#pragma once

#include "ecp/base/files.h"
#include "ecp/model/language_model.h"
#include "ecp/text/tokenizer.h"
#include "ecp/train/optimizer.h"
#include "ecp/train/training_state.h"

namespace ecp {

/// Writes the folder whole or not at all.
void save_checkpoint(const Path& folder, const LanguageModel& model, const AdamW& optimizer,
                     const Tokenizer& tokenizer, const TrainingState& state);
/// Verifies the folder and restores weights and moments; fails if it is damaged or not of this model.
TrainingState load_checkpoint(const Path& folder, LanguageModel& model, AdamW& optimizer);

}  // namespace ecp
