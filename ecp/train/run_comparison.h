// Whether two runs computed the same, bit for bit; what the clock and the machine decide is left out.
#pragma once

#include <string>
#include <vector>

#include "ecp/base/files.h"

namespace ecp {

struct Compared {
  std::string what;        // "weights", "optimizer", "data position", ...
  std::string size;        // "26 tensors", "12 lines": what was compared
  std::string difference;  // the first one; empty: none
};

/// Compares two run folders: weights and moments of their last checkpoints, tensor by tensor, the rest of the
/// training state (counters; random numbers are functions of seed, step and sample, so these are the
/// generators' state), data positions, and metrics.jsonl line by line. Fails if one can't be read.
std::vector<Compared> compare_runs(const Path& a, const Path& b);

}  // namespace ecp
