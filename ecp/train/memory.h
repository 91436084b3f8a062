// Whether a configuration fits into this machine's memory, before anything is allocated.
#pragma once

#include "ecp/config/config_file.h"

namespace ecp {

/// Bytes that training takes at least: weights, gradients and two moments, and what each layer keeps of a
/// batch for the backward. `config.model.vocab` is known.
double least_training_memory(const Config& config);

/// Fails if that is more than what is free.
void require_memory(const Config& config);

}  // namespace ecp
