// Training a classifier on images (data.images).
#pragma once

#include <memory>

#include "ecp/images/image_data.h"
#include "ecp/model/classifier.h"
#include "ecp/train/task.h"

namespace ecp {

class ImageTask : public Task {
 public:
  explicit ImageTask(const Config& config);

  Backbone& model() override { return model_; }
  Batch next(std::int64_t step) override;
  /// Loss and accuracy on the validation part; the best has the highest accuracy.
  std::optional<Measurement> measure(const ProgressFunction& progress) override;
  [[nodiscard]] std::string describe_score(double score) const override;
  [[nodiscard]] std::string describe(const std::vector<Place>& places) const override;
  [[nodiscard]] Unit unit() const override { return {"images", image_pixels}; }
  [[nodiscard]] std::int64_t trained_per_sample() const override { return 1; }
  [[nodiscard]] std::uint64_t tokens_per_epoch() const override;
  [[nodiscard]] nlohmann::ordered_json data_facts() const override;
  [[nodiscard]] std::vector<TrainingState::Source> position() const override;
  void restore(const std::vector<TrainingState::Source>& sources) override;

 private:
  ImageData data_;
  ImageSampler sampler_;
  Classifier model_;
};

}  // namespace ecp
