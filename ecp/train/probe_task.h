// Training on a generated task (data.probe).
#pragma once

#include <memory>

#include "ecp/model/language_model.h"
#include "ecp/probes/probe.h"
#include "ecp/train/task.h"

namespace ecp {

class ProbeTask : public Task {
 public:
  explicit ProbeTask(const Config& config);

  Backbone& model() override { return model_; }
  Batch next(std::int64_t step) override;
  /// Accuracy at distances over the whole range; the best has the highest.
  std::optional<Measurement> measure(const ProgressFunction& progress) override;
  [[nodiscard]] std::string describe_score(double score) const override;
  [[nodiscard]] std::string describe(const std::vector<Place>& places) const override;
  [[nodiscard]] std::int64_t trained_per_sample() const override { return 0; }
  [[nodiscard]] std::uint64_t tokens_per_epoch() const override { return 0; }
  [[nodiscard]] nlohmann::ordered_json data_facts() const override;
  [[nodiscard]] std::vector<TrainingState::Source> position() const override;
  void restore(const std::vector<TrainingState::Source>& sources) override;

 private:
  std::unique_ptr<Probe> probe_;
  EpochPosition position_;  // one endless epoch
  LanguageModel model_;
};

}  // namespace ecp
