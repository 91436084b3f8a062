#include "ecp/model/language_model.h"

#include <torch/torch.h>

#include <cstring>

#include "ecp/base/error.h"
#include "ecp/kernels/isa.h"
#include "ecp/model/attention.h"
#include "ecp/model/context.h"
#include "ecp/model/cross_entropy.h"
#include "ecp/model/feed_forward.h"
#include "ecp/model/initialize.h"
#include "ecp/model/linear.h"
#include "ecp/model/norm.h"
#include "ecp/model/weights.h"
#include "ecp/weights/checkpoint.h"

namespace ecp {
namespace {

/// A node of the tree that dotted parameter names form.
struct Scope : torch::nn::Module {
  explicit Scope(const std::string& name) : Module(name) {}
};

/// Registers `tensor` as a parameter of `root` under its dotted name.
void register_dotted(torch::nn::Module& root, const std::string& name, const at::Tensor& tensor) {
  torch::nn::Module* at = &root;
  std::size_t from = 0;
  for (std::size_t dot = name.find('.'); dot != std::string::npos;
       from = dot + 1, dot = name.find('.', from)) {
    const std::string part = name.substr(from, dot - from);
    const auto children = at->named_children();
    const auto* child = children.find(part);
    at = child != nullptr ? child->get() : at->register_module(part, std::make_shared<Scope>(part)).get();
  }
  at->register_parameter(name.substr(from), tensor);
}

ModelConfig validated(ModelConfig config) {
  config.validate();
  return config;
}

}  // namespace

struct LanguageModel::Layers {
  struct Layer {
    Norm attention_norm;
    std::unique_ptr<Attention> attention;
    Norm ffn_norm;
    FeedForward ffn;
  };

  Layers(const ModelConfig& config, const Weights& weights)
      : embedding(weights.at("embedding.weight")),
        norm(weights, "norm", config),
        classifier(config.tie_embeddings ? embedding : weights.at("classifier.weight"),
                   weights.find("classifier.bias")) {
    for (std::int64_t i = 0; i < config.layers; ++i) {
      const std::string at = "layers." + std::to_string(i) + ".";
      layers.push_back({Norm(weights, at + "attention.norm", config),
                        make_attention(weights, at + "attention.", config, i),
                        Norm(weights, at + "ffn.norm", config),
                        FeedForward(weights, at + "ffn.", config, i)});
    }
  }

  /// The turns of n rows, by position in the window or in their document.
  const Rotation& rotation(const ModelConfig& config, std::int64_t n,
                           const std::optional<at::Tensor>& document_start) {
    const bool cached =
        turns.cos.defined() && turns.cos.dim() == 2 && turns.cos.size(0) == n && !document_start;
    if (config.rope == "none" || cached) return turns;
    const at::NoGradGuard no_grad;
    at::Tensor positions = at::arange(n, at::kLong);
    if (document_start) positions = positions - document_start->to(at::kLong);
    turns = make_rotation(positions, config.head_dim(), config.rope_theta);
    return turns;
  }

  at::Tensor embedding;
  std::vector<Layer> layers;
  Rotation turns;  // of the last pass
  Norm norm;
  Linear classifier;
};

LanguageModel::LanguageModel(ModelConfig config)
    : config_(validated(std::move(config))), table_(ecp::parameters(config_)) {
  kernels::isa();  // chooses the vector kernels, or says why it can't
  Weights weights;
  for (const Parameter& parameter : table_) {
    const at::Tensor tensor = at::empty(parameter.shape, at::kFloat).set_requires_grad(true);
    register_dotted(*this, parameter.name, tensor);
    weights.add(parameter.name, tensor);
  }
  layers_ = std::make_unique<Layers>(config_, weights);
}

LanguageModel::~LanguageModel() = default;

void LanguageModel::initialize(std::uint64_t seed) {
  const at::NoGradGuard no_grad;
  const auto named = named_parameters();
  for (const Parameter& parameter : table_) initialize_parameter(named[parameter.name], parameter, seed);
}

void LanguageModel::load(const TensorSet& weights) {
  const at::NoGradGuard no_grad;
  check_weights(weights, config_);
  const auto named = named_parameters();
  for (const Parameter& parameter : table_) {
    const std::vector<float> values = weights.at(parameter.name).to_float();
    std::memcpy(named[parameter.name].mutable_data_ptr<float>(), values.data(),
                values.size() * sizeof(float));
  }
}

std::vector<NamedTensor> LanguageModel::weights() const {
  std::vector<NamedTensor> all;
  const auto named = named_parameters();
  for (const Parameter& parameter : table_) {
    const at::Tensor& tensor = named[parameter.name];
    const auto* data = static_cast<const std::byte*>(tensor.const_data_ptr());
    all.push_back({parameter.name, {DType::f32, parameter.shape, {data, tensor.nbytes()}}});
  }
  return all;
}

at::Tensor LanguageModel::hidden(const at::Tensor& tokens_BN, const ForwardContext& context) {
  require(tokens_BN.dim() == 2 && tokens_BN.scalar_type() == at::kLong && tokens_BN.numel() >= 1,
          "model: expected tokens as int64 [B, n] with B and n at least 1");
  const auto [least, most] = at::aminmax(tokens_BN);
  require(least.item<std::int64_t>() >= 0 && most.item<std::int64_t>() < config_.vocab,
          "model: expected tokens from 0 to {}, got {} to {}", config_.vocab - 1, least.item<std::int64_t>(),
          most.item<std::int64_t>());
  const double dropout = context.training ? config_.dropout : 0;
  require(dropout == 0 || static_cast<std::int64_t>(context.samples.size()) == tokens_BN.size(0),
          "model: dropout needs the global index of each of {} samples, got {}", tokens_BN.size(0),
          context.samples.size());

  const LayerContext layer_context{
      context, layers_->rotation(config_, tokens_BN.size(1), context.document_start), dropout};
  at::Tensor x = at::embedding(layers_->embedding, tokens_BN);
  for (const Layers::Layer& layer : layers_->layers) {
    x = x + layer.attention->forward(layer.attention_norm(x, context.bfloat16), layer_context);
    x = x + layer.ffn(layer.ffn_norm(x, context.bfloat16), layer_context);
  }
  return layers_->norm(x);
}

at::Tensor LanguageModel::logits(const at::Tensor& tokens_BN, const ForwardContext& context) {
  return layers_->classifier.to_float(hidden(tokens_BN, context), context.bfloat16);
}

at::Tensor LanguageModel::loss_sum(const at::Tensor& tokens_BN1, const ForwardContext& context) {
  require(tokens_BN1.dim() == 2 && tokens_BN1.size(1) >= 2,
          "model: expected tokens [B, n+1] with n at least 1");
  const std::int64_t n = tokens_BN1.size(1) - 1;
  const at::Tensor rows = hidden(tokens_BN1.slice(1, 0, n), context);
  return linear_cross_entropy(rows.flatten(0, 1), layers_->classifier.weight(), layers_->classifier.bias(),
                              tokens_BN1.slice(1, 1, n + 1).reshape({-1}), context.bfloat16);
}

at::Tensor LanguageModel::negative_log_likelihood(const at::Tensor& tokens_BN1,
                                                  const ForwardContext& context) {
  const at::NoGradGuard no_grad;
  require(tokens_BN1.dim() == 2 && tokens_BN1.size(1) >= 2,
          "model: expected tokens [B, n+1] with n at least 1");
  const std::int64_t n = tokens_BN1.size(1) - 1;
  const at::Tensor rows = hidden(tokens_BN1.slice(1, 0, n), context);
  return linear_negative_log_likelihood(rows.flatten(0, 1), layers_->classifier.weight(),
                                        layers_->classifier.bias(),
                                        tokens_BN1.slice(1, 1, n + 1).reshape({-1}), context.bfloat16)
      .view({tokens_BN1.size(0), n});
}

}  // namespace ecp
