// Asking the model of a checkpoint a probe's questions: what `ecp eval --probe` does.
#pragma once

#include <memory>

#include "ecp/eval/probe_accuracy.h"
#include "ecp/experiment/probe_curve.h"
#include "ecp/weights/checkpoint.h"

namespace ecp {

/// The probe that the run of a checkpoint trained on. Fails if that isn't known or was no probe.
std::unique_ptr<Probe> probe_of(const Checkpoint& checkpoint);

/// Fails as `measure_probe`, or if the weights can't be read or are damaged.
ProbeCurve evaluate_probe(const Checkpoint& checkpoint, const Probe& probe, const ProbeOptions& options,
                          const ProgressFunction& progress = {});

}  // namespace ecp
