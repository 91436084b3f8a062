#include "ecp/train/synthetic_training.h"

#include <torch/torch.h>

#include <vector>

#include "ecp/model/language_model.h"
#include "ecp/train/memory.h"
#include "ecp/train/optimizer.h"

namespace ecp {

struct SyntheticTraining::State {
  explicit State(const Config& asked)
      : config(asked), model(config.model), optimizer(config.train, optimizer_entries(model)) {
    model.initialize(1);
    for (const auto& parameter : model.parameters()) trained.push_back(parameter);
    context.training = true;
    context.recompute = choose_recompute(config);
    context.bfloat16 = config.train.dtype == "bfloat16";
    for (std::int64_t i = 0; i < config.train.batch; ++i) context.samples.push_back(i);
  }

  Config config;
  LanguageModel model;
  AdamW optimizer;
  std::vector<at::Tensor> trained;
  ForwardContext context;
};

SyntheticTraining::SyntheticTraining(const Config& config) : state_(std::make_unique<State>(config)) {}
SyntheticTraining::~SyntheticTraining() = default;

double SyntheticTraining::tokens_per_step() const {
  return static_cast<double>(state_->config.train.batch * state_->config.model.sequence);
}

double SyntheticTraining::step() {
  State& s = *state_;
  const TrainConfig& train = s.config.train;
  const at::Tensor tokens =
      at::randint(s.config.model.vocab, {train.batch, s.config.model.sequence + 1}, at::kLong);
  const at::Tensor loss = s.model.loss_sum(tokens, s.context);
  loss.backward();
  const auto trained =
      static_cast<double>(train.batch * s.config.model.trained_rows(s.config.model.sequence));
  const double norm = gradient_norm(s.trained) / trained;
  s.optimizer.step(train.lr, clip_factor(norm, train.clip) / trained);
  s.optimizer.clear_gradients();
  ++s.context.step;
  return loss.item<double>() / trained;
}

}  // namespace ecp
