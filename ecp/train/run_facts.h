// run.json: the facts of a run that its configuration doesn't say: program, machine, data with hashes, sizes.
#pragma once

#include "ecp/base/files.h"
#include "ecp/train/task.h"
#include "ecp/train/trainer.h"
#include "ecp/train/training_state.h"

namespace ecp {

/// What a run of `task` comes to.
RunFacts run_facts(const Task& task, int threads);
/// Writes the facts, or adds a start to the `starts` of a run that goes on from `facts.resumed_from`.
void write_run_facts(const Path& path, const RunFacts& facts, const Task& task, const Build& build);

}  // namespace ecp
