// The learning rate as a pure function of where the run stands.
#pragma once

#include <cstdint>

#include "ecp/config/train_config.h"

namespace ecp {

/// Where a run stands before an optimizer step.
struct RunPosition {
  std::int64_t step = 0;  // steps already done
  double done = 0;  // fraction of the run behind it, 0 … 1: of the steps, or of the clock (train.minutes)
  double warmup_done = 0;  // the same fraction when warm-up ended; meaningless before
};

/// The position after `step` of `config.steps` steps.
RunPosition position_by_steps(const TrainConfig& config, std::int64_t step);

/// The rate of the step that follows. Linear warm-up over `warmup` steps (step 0 has lr / warmup), then
///   constant  lr
///   cosine    from lr at the end of warm-up down to lr·final_lr at the end of the run
///   wsd       lr, in the last `decay_fraction` of the run linearly down to lr·final_lr
///   halving   lr·2^−⌊step / halve_every⌋, counted from step 0 whether or not the run follows the clock
/// Never above lr; beyond the end of the run its last value.
double learning_rate(const TrainConfig& config, const RunPosition& position);

}  // namespace ecp
