// What a configuration may say otherwise than the run that it goes on with.
#pragma once

#include <array>

#include "ecp/config/train_config.h"

namespace ecp {

/// Settings that change neither what is trained nor which checkpoint is best.
inline constexpr std::array without_effect{
    "train.threads",
    "train.checkpoint_every",
    "train.keep",
    "train.log_every",
    "train.sample_every",
    "train.sample_prompt",
    "train.sample_tokens",
    "train.tensorboard",
    "train.activation_checkpointing",
    "train.memory_limit",
    "eval.batch",
};

/// `asked`, with what it leaves to the data and the machine (model.vocab 0, train.dtype "auto") as the run
/// has it.
inline Config left_to_run(Config asked, const Config& stored) {
  if (asked.model.vocab == 0) asked.model.vocab = stored.model.vocab;
  if (asked.train.dtype == "auto") asked.train.dtype = stored.train.dtype;
  return asked;
}

}  // namespace ecp
