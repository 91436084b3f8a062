#include "ecp/model/window_source.h"

#include <torch/torch.h>

#include <algorithm>

#include "ecp/base/error.h"

namespace ecp {

WindowSource::WindowSource(std::shared_ptr<LanguageModel> model) : model_(std::move(model)) {}

void WindowSource::forward(std::span<const Token> tokens, Rows wanted, std::vector<float>& logits) {
  const at::NoGradGuard no_grad;
  const ModelConfig& config = model_->config();
  for (const Token token : tokens) {
    require(token < config.vocab, "token: expected an id below the vocabulary's size {}, got {}",
            config.vocab, token);
  }
  logits.clear();
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (static_cast<std::int64_t>(window_.size()) == config.sequence) window_.erase(window_.begin());
    window_.push_back(static_cast<std::int64_t>(tokens[i]));
    ++rows_;
    if (wanted == Rows::last && i + 1 < tokens.size()) continue;
    const auto n = static_cast<std::int64_t>(window_.size());
    const at::Tensor rows = model_->last_logits(at::from_blob(window_.data(), {1, n}, at::kLong));
    const float* values = rows.const_data_ptr<float>();
    logits.insert(logits.end(), values, values + config.vocab);
  }
}

}  // namespace ecp
