#include "ecp/eval/probe_evaluation.h"

#include "ecp/base/error.h"
#include "ecp/config/attention_plan.h"
#include "ecp/weights/run_config.h"

namespace ecp {

std::unique_ptr<Probe> probe_of(const Checkpoint& checkpoint) {
  const std::optional<Config> run = config_of_run(checkpoint);
  require(run.has_value(), "checkpoint '{}': it stands in no run that tells which probe it was trained on",
          checkpoint.folder().string());
  require(!run->data.probe.empty(),
          "checkpoint '{}': its run trained on no probe (data.probe), so it knows no answers",
          checkpoint.folder().string());
  return make_probe(run->probe());
}

ProbeCurve evaluate_probe(const Checkpoint& checkpoint, const Probe& probe, const ProbeOptions& options,
                          const ProgressFunction& progress) {
  LanguageModel model(checkpoint.model());
  model.load(checkpoint.weights());
  ProbeCurve curve;
  curve.points = measure_probe(model, probe, options, progress);
  curve.architecture = checkpoint.model().architecture;
  curve.layers = checkpoint.model().layers;
  curve.probe = probe.description();
  curve.distance_means = probe.facts().distance_means;
  curve.chance = probe.facts().chance;
  const std::int64_t last = probe.settings().sequence - 1;
  curve.reach = last - reach(checkpoint.model(), last);
  return curve;
}

}  // namespace ecp
