// Training steps on random tokens: what a step takes on a machine, without data or a run folder.
#pragma once

#include <memory>

#include "ecp/config/train_config.h"

namespace ecp {

class SyntheticTraining {
 public:
  /// A new model of `config.model`, whose vocabulary must be given; of [train] batch, dtype and the
  /// optimizer's fields count. LibTorch's number of threads is the caller's.
  explicit SyntheticTraining(const Config& config);
  ~SyntheticTraining();
  SyntheticTraining(const SyntheticTraining&) = delete;
  SyntheticTraining& operator=(const SyntheticTraining&) = delete;

  /// Forward, backward, clipping, AdamW. Returns the loss in nats per token.
  double step();
  [[nodiscard]] double tokens_per_step() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ecp
