// How well a language model answers a probe's questions, by their distance.
#pragma once

#include <cstdint>
#include <vector>

#include "ecp/base/progress.h"
#include "ecp/experiment/probe_curve.h"
#include "ecp/model/language_model.h"
#include "ecp/probes/probe.h"

namespace ecp {

struct ProbeOptions {
  std::vector<std::int64_t> distances;  // ascending; each is measured
  std::int64_t examples = 200;          // per distance
  std::int64_t batch = 16;              // examples at a time
  bool bfloat16 = false;                // matrix products and attention in bfloat16
};

/// Examples for a model: tokens [B, n] and the targets [B, rows] of its last `rows`, both int64.
struct ProbeBatch {
  at::Tensor tokens_BN, targets_BR;
  std::int64_t asked = 0;  // targets that aren't −1

  ProbeBatch(const std::vector<ProbeExample>& examples, std::int64_t rows);
};

/// On examples that training never draws. Fails if a distance doesn't fit the probe, or if a logit isn't
/// finite.
std::vector<ProbePoint> measure_probe(LanguageModel& model, const Probe& probe, const ProbeOptions& options,
                                      const ProgressFunction& progress = {});

}  // namespace ecp
