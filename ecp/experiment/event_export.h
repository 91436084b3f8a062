// A run's metrics.jsonl as a TensorBoard event file, for runs that were made without.
#pragma once

#include "ecp/base/files.h"
#include "ecp/experiment/run.h"

namespace ecp {

/// Writes a file into `folder`, which is made if it isn't there; what TensorBoard knew of the folder before
/// is replaced. Times are the run's first start plus the training time of each line (from 1970 on, where the
/// start isn't known). Lines that can't be read are left out. Returns the file.
Path export_events(const Run& run, const Path& folder);

}  // namespace ecp
