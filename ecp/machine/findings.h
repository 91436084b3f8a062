// What of a machine would make training slow or risky, why, and what to do about it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ecp/machine/machine.h"
#include "ecp/machine/rates.h"

namespace ecp {

/// What the part of the program with LibTorch says about itself.
struct TorchPart {
  std::string error;       // why there is none or it doesn't work; "": it does
  std::string step_error;  // why the training step was not measured though it was wanted
  std::string version;     // of LibTorch
  std::string capability;  // the instruction set of LibTorch's own kernels: "AVX512"
  // Tokens per second of a training step; none: not measured.
  std::optional<double> float32, bfloat16;
};

struct Finding {
  enum class Level { note, warning };
  Level level = Level::note;
  std::string id;    // "slow-sync": stays the same between versions
  std::string what;  // one sentence: what is and why it matters
  std::string advice;
};

/// Warnings first. `rates` may be missing: nothing was measured.
std::vector<Finding> findings(const Machine& machine, const std::optional<Rates>& rates,
                              const TorchPart& torch);

}  // namespace ecp
