// Training a language model on windows of token files.
#pragma once

#include <memory>

#include "ecp/model/language_model.h"
#include "ecp/train/batches.h"
#include "ecp/train/task.h"

namespace ecp {

class TextTask : public Task {
 public:
  TextTask(const Config& config, int threads, const ProgressFunction& progress);

  Backbone& model() override { return model_; }
  Batch next(std::int64_t step) override;
  std::optional<Measurement> measure(const ProgressFunction& progress) override;
  [[nodiscard]] std::string describe_score(double score) const override;
  [[nodiscard]] bool writes_samples() const override { return config().train.sample_tokens > 0; }
  std::optional<SampleReport> sample(const std::function<bool()>& stop) override;
  [[nodiscard]] std::string describe(const std::vector<Place>& places) const override;
  [[nodiscard]] std::int64_t trained_per_sample() const override {
    return config().model.trained_rows(config().model.sequence);
  }
  [[nodiscard]] std::uint64_t tokens_per_epoch() const override;
  [[nodiscard]] nlohmann::ordered_json data_facts() const override;
  [[nodiscard]] std::vector<TrainingState::Source> position() const override { return data_->position(); }
  void restore(const std::vector<TrainingState::Source>& sources) override { data_->restore(sources); }
  void save_beside(const Path& folder) const override;
  [[nodiscard]] std::string tokenizer_hash() const override { return data_->tokenizer()->hash(); }

 private:
  TextTask(const Config& config, int threads, std::unique_ptr<TrainingData> data);

  std::unique_ptr<TrainingData> data_;
  LanguageModel model_;
  int threads_;
};

}  // namespace ecp
