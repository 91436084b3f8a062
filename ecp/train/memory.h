// What training takes of this machine's memory, before anything is allocated.
#pragma once

#include "ecp/config/config_file.h"

namespace ecp {

/// Bytes at the peak of a training step, about, by what they are for.
struct TrainingMemory {
  double weights = 0;      // with two moments each
  double packed = 0;       // copies of matrices in bfloat16, for forward and backward
  double activations = 0;  // with gradients: where both together are most
  double program = 0;      // the rest
  [[nodiscard]] double total() const { return weights + packed + activations + program; }
};

/// `config.model.vocab` is known. `recompute`: with activation checkpointing.
TrainingMemory training_memory(const Config& config, bool recompute);

/// The least that training takes, whatever is done: more than that is certain.
double least_training_memory(const Config& config);

/// Whether to train with activation checkpointing: as configured, or where training without it would take
/// more than train.memory_limit or than is free. Fails if it takes more in any case.
bool choose_recompute(const Config& config);

/// train.memory_limit in bytes, or what is free; 0: not known.
double memory_limit(const Config& config);

}  // namespace ecp
