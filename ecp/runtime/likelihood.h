// How well a model predicts tokens, computed as generation computes them.
#pragma once

#include <cstdint>

#include "ecp/base/progress.h"
#include "ecp/runtime/model.h"
#include "ecp/text/token_file.h"

namespace ecp {

struct Likelihood {
  double loss = 0;           // nats per token
  std::uint64_t tokens = 0;  // predicted ones
};

/// Of the first `tokens` tokens of a file, in windows of the model's trained length, one behind the other:
/// each token but the file's first is predicted from those before it in its window. Fails on
/// fewer than 2 tokens, and on a vocabulary larger than the model's. Throws Interrupted.
Likelihood likelihood(const Model& model, const TokenFile& file, std::uint64_t tokens,
                      const ProgressFunction& progress = {});

}  // namespace ecp
