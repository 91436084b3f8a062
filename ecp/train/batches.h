// Training data as the trainer takes it: token files checked against each other and the model, micro-batches
// of windows.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ecp/base/progress.h"
#include "ecp/config/train_config.h"
#include "ecp/text/token_file.h"
#include "ecp/text/windows.h"
#include "ecp/train/training_state.h"

namespace ecp {

struct WindowBatch {
  at::Tensor tokens_BN1;                        // int64 [B, n+1]
  std::vector<Window> windows;                  // where its rows are from
  std::vector<std::int64_t> samples;            // global index of each sample of the run
  std::optional<at::Tensor> document_start_BN;  // int32 [B, n], unless windows cross documents
};

class TrainingData {
 public:
  /// Opens the files that `config` names and compares all of their content with its hashes. Fails, naming the
  /// file, if one can't be used or has changed, is shorter than a window, or has another tokenizer than the
  /// first, or if `model.vocab` is given and isn't the tokenizer's.
  explicit TrainingData(const Config& config, const ProgressFunction& progress = {});

  WindowBatch next(std::int64_t size);

  [[nodiscard]] const std::vector<std::shared_ptr<const TokenFile>>& files() const { return files_; }
  /// Absent if the configuration names none.
  [[nodiscard]] const std::shared_ptr<const TokenFile>& validation() const { return validation_; }
  [[nodiscard]] const std::shared_ptr<const Tokenizer>& tokenizer() const { return tokenizer_; }
  [[nodiscard]] std::int64_t vocab_size() const { return tokenizer_->vocab_size(); }
  [[nodiscard]] std::uint64_t windows_per_epoch() const;

  [[nodiscard]] std::vector<TrainingState::Source> position() const;
  /// Fails if the files aren't those that the position was taken from.
  void restore(const std::vector<TrainingState::Source>& sources);

 private:
  std::int64_t window_;
  bool cross_documents_;
  std::vector<std::shared_ptr<const TokenFile>> files_;
  std::shared_ptr<const TokenFile> validation_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::optional<WindowSampler> sampler_;
};

}  // namespace ecp
