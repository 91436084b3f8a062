// How a configuration can be trained in so much memory: smaller micro-batches, activation checkpointing. None
// of it changes what is trained but for the rounding of sums.
#pragma once

#include <cstdint>
#include <vector>

#include "ecp/config/train_config.h"
#include "ecp/train/memory.h"

namespace ecp {

struct PlanRow {
  std::int64_t batch = 0, accumulation = 0;
  bool recompute = false;
  TrainingMemory memory;
  double tokens_per_second = 0;  // about
  bool fits = false;
};

struct TrainingPlan {
  std::vector<PlanRow> rows;  // the configuration's own batch first, each without and with checkpointing
  std::int64_t best = -1;     // the fastest row that fits; −1: none does
};

/// `config.model.vocab` is known. `limit`: bytes, 0: none. `rate`: operations per second of this machine's
/// matrix products in train.dtype.
TrainingPlan plan_training(const Config& config, double limit, double rate);

/// The configuration as a row has it.
Config planned(Config config, const PlanRow& row);

}  // namespace ecp
