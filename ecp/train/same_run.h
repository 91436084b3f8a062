// Which configuration a resumed run has: the stored one. What a new configuration says must agree with it,
// except for how long, how often and with how many threads: those fields don't change what a step computes
// (train.steps and train.minutes move the end of the schedule).
#pragma once

#include "ecp/config/train_config.h"

namespace ecp {

/// `stored` with the changeable fields of `asked`. Fails naming the first other field that differs, with both
/// values. `asked.model.vocab` = 0 agrees with any.
Config continued(const Config& stored, const Config& asked);

}  // namespace ecp
