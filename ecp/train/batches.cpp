#include "ecp/train/batches.h"

#include <ATen/ops/empty.h>

#include <span>
#include <string>

#include "ecp/base/error.h"
#include "ecp/text/same_tokenizer.h"

namespace ecp {

TrainingData::TrainingData(const Config& config, const ProgressFunction& progress)
    : window_(config.model.sequence), cross_documents_(config.data.cross_documents) {
  for (const std::string& path : config.data.train) {
    files_.push_back(std::make_shared<const TokenFile>(path));
    require_same_tokenizer(*files_.back(), *files_.front());
  }
  if (!config.data.validation.empty()) {
    validation_ = std::make_shared<const TokenFile>(config.data.validation);
    require_same_tokenizer(*validation_, *files_.front());
    require(validation_->size() > 0, "data.validation '{}': expected at least one token, got an empty file",
            config.data.validation);
  }
  for (const auto& file : files_) file->verify(progress);
  if (validation_) validation_->verify(progress);
  tokenizer_ = files_.front()->tokenizer();
  require(config.model.vocab == 0 || config.model.vocab == vocab_size(),
          "model.vocab: expected the {} tokens of the tokenizer of '{}' (or 0), got {}", vocab_size(),
          files_.front()->path().string(), config.model.vocab);
  sampler_.emplace(files_, config.data.weights, window_, static_cast<std::uint64_t>(config.train.seed));
}

WindowBatch TrainingData::next(std::int64_t size) {
  WindowBatch batch;
  batch.tokens_BN1 = at::empty({size, window_ + 1}, at::kLong);
  auto* tokens = batch.tokens_BN1.mutable_data_ptr<std::int64_t>();
  std::int32_t* starts = nullptr;
  if (!cross_documents_) {
    batch.document_start_BN = at::empty({size, window_}, at::kInt);
    starts = batch.document_start_BN->mutable_data_ptr<std::int32_t>();
  }
  const auto rows = static_cast<std::size_t>(window_);
  for (std::size_t i = 0; i < static_cast<std::size_t>(size); ++i) {
    const Window window = sampler_->next();
    batch.windows.push_back(window);
    batch.samples.push_back(static_cast<std::int64_t>(window.sample));
    sampler_->read(window, {tokens + i * (rows + 1), rows + 1});
    if (starts != nullptr) sampler_->document_starts(window, {starts + i * rows, rows});
  }
  return batch;
}

std::uint64_t TrainingData::windows_per_epoch() const {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < files_.size(); ++i) sum += sampler_->windows_per_epoch(i);
  return sum;
}

std::vector<TrainingState::Source> TrainingData::position() const {
  const std::vector<WindowPosition> positions = sampler_->position();
  std::vector<TrainingState::Source> sources;
  for (std::size_t i = 0; i < files_.size(); ++i) sources.push_back({files_[i]->info().hash, positions[i]});
  return sources;
}

void TrainingData::restore(const std::vector<TrainingState::Source>& sources) {
  require(sources.size() == files_.size(),
          "data.train: expected the {} files of the run that is resumed, got {}", sources.size(),
          files_.size());
  std::vector<WindowPosition> positions;
  for (std::size_t i = 0; i < files_.size(); ++i) {
    require(sources[i].hash == files_[i]->info().hash,
            "'{}': its content has changed since the checkpoint (hash {} then, {} now)",
            files_[i]->path().string(), sources[i].hash, files_[i]->info().hash);
    positions.push_back(sources[i].position);
  }
  sampler_->restore(positions);
}

}  // namespace ecp
