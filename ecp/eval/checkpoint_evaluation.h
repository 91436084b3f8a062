// Evaluating a checkpoint on a token file: what `ecp eval` does.
#pragma once

#include "ecp/base/files.h"
#include "ecp/eval/perplexity.h"
#include "ecp/weights/checkpoint.h"

namespace ecp {

/// Fails if either can't be read or is damaged, or if the data's tokenizer isn't the checkpoint's (for
/// checkpoints without one: if the vocabularies' sizes differ).
Evaluation evaluate_checkpoint(const Checkpoint& source, const Path& data, const EvaluationOptions& options,
                               const ProgressFunction& progress = {});

}  // namespace ecp
