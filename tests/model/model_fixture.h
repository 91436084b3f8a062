// Small models and tokens for the tests of this room.
#pragma once

#include <torch/torch.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ecp/base/random.h"
#include "ecp/model/language_model.h"

namespace ecp::test {

inline ModelConfig small(const std::string& architecture, const std::string& preset) {
  ModelConfig config;
  config.architecture = architecture;
  config.preset = preset;
  apply_preset(config);
  config.dropout = 0;
  config.vocab = 19;
  config.dim = 12;
  config.layers = 2;
  config.heads = 2;
  config.sequence = 15;
  config.block = 5;
  config.ffn_dim = 10;
  return config;
}

inline std::vector<ModelConfig> all_small() {
  std::vector<ModelConfig> all;
  for (const char* architecture :
       {"ecp", "full", "perceiver_ar", "double", "split", "compressed", "shifted", "sliding"}) {
    for (const char* preset : {"paper", "modern"}) all.push_back(small(architecture, preset));
  }
  return all;
}

/// The lengths among `lengths` that the model takes.
inline std::vector<std::int64_t> possible(const ModelConfig& config,
                                          const std::vector<std::int64_t>& lengths) {
  std::vector<std::int64_t> result;
  for (const std::int64_t n : lengths) {
    if (n <= config.sequence || !config.is_latent()) result.push_back(n);
  }
  return result;
}

inline std::string name_of(const ModelConfig& config) { return config.architecture + " " + config.preset; }

/// Initialised, then moved away from its special values (ones and zeros of norms and biases), so that every
/// parameter matters; larger than at initialisation, so that attention is not uniform.
inline std::unique_ptr<LanguageModel> make_model(const ModelConfig& config, std::uint64_t seed = 1) {
  auto model = std::make_unique<LanguageModel>(config);
  model->initialize(seed);
  const at::NoGradGuard no_grad;
  std::uint64_t parameter = 0;
  for (at::Tensor& tensor : model->parameters()) {
    const float scale = tensor.dim() == 2 ? 0.6f : 0.3f;
    float* data = tensor.mutable_data_ptr<float>();
    for (std::int64_t i = 0; i < tensor.numel(); ++i) {
      data[i] +=
          scale * static_cast<float>(2 * random_uniform(seed, parameter, static_cast<std::uint64_t>(i)) - 1);
    }
    ++parameter;
  }
  return model;
}

inline at::Tensor make_tokens(std::int64_t batch, std::int64_t length, std::int64_t vocab,
                              std::uint64_t key = 5) {
  at::Tensor tokens = at::empty({batch, length}, at::kLong);
  for (std::int64_t i = 0; i < tokens.numel(); ++i) {
    tokens.mutable_data_ptr<std::int64_t>()[i] = static_cast<std::int64_t>(
        random_below(static_cast<std::uint64_t>(vocab), key, static_cast<std::uint64_t>(i)));
  }
  return tokens;
}

/// The model's weights in float64, with gradients.
inline std::map<std::string, at::Tensor> wide_weights(const LanguageModel& model) {
  std::map<std::string, at::Tensor> weights;
  for (const auto& item : model.named_parameters()) {
    weights[item.key()] = item.value().detach().to(at::kDouble).requires_grad_();
  }
  return weights;
}

inline double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

}  // namespace ecp::test
