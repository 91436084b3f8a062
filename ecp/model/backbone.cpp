#include "ecp/model/backbone.h"

#include <torch/torch.h>

#include <cstring>

#include "ecp/base/error.h"
#include "ecp/kernels/isa.h"
#include "ecp/model/attention.h"
#include "ecp/model/context.h"
#include "ecp/model/feed_forward.h"
#include "ecp/model/initialize.h"
#include "ecp/model/linear_weight.h"
#include "ecp/model/norm.h"
#include "ecp/model/recompute.h"
#include "ecp/model/weights.h"
#include "ecp/weights/checkpoint.h"
#include "ecp/weights/quantized.h"

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

struct Backbone::Layers {
  struct Layer {
    Norm attention_norm;
    std::unique_ptr<Attention> attention;
    Norm ffn_norm;
    FeedForward ffn;
  };

  Layers(const ModelConfig& config, const Weights& weights)
      : embedding(weights.at("embedding.weight")), norm(weights, "norm", config) {
    for (std::int64_t i = 0; i < config.layers; ++i) {
      const std::string at = "layers." + std::to_string(i) + ".";
      layers.push_back({Norm(weights, at + "attention.norm", config),
                        make_attention(weights, at + "attention.", config, i),
                        Norm(weights, at + "ffn.norm", config),
                        FeedForward(weights, at + "ffn.", config, i)});
    }
  }

  /// Both halves of a layer. The second one's result is still to be added, which the next norm does.
  static Sum run(const Layer& layer, const Sum& in, const LayerContext& context) {
    const bool bfloat16 = context.forward.bfloat16;
    const NormedSum before = layer.attention_norm(in, bfloat16);
    const at::Tensor mixed = layer.attention->forward(before.normed, context);
    const NormedSum between =
        layer.ffn_norm({layer.attention->residual(before.sum, context), mixed}, bfloat16);
    return {between.sum, layer.ffn(between.normed, context)};
  }

  /// What layer `index` is told about a pass over n tokens.
  LayerContext context_of(const ModelConfig& config, std::int64_t index, std::int64_t n,
                          const ForwardContext& forward, double dropout) {
    LayerContext context{forward, layer_plan(config, index, n), {}, std::nullopt, dropout};
    const std::int64_t first = context.plan.first_token;
    context.document_start = forward.document_start;
    if (forward.document_start && first > 0)
      context.document_start = at::clamp_min(forward.document_start->narrow(1, first, n - first) - first, 0);
    if (config.rotates(index)) context.rotation = rotation(config, context.plan, n, forward.document_start);
    return context;
  }

  /// The turns of a layer's rows, by position in the window or in their document. A row of compressed history
  /// stands in the middle of the rows that it would be made of if it were a mean of neighbours.
  Rotation rotation(const ModelConfig& config, const LayerPlan& plan, std::int64_t n,
                    const std::optional<at::Tensor>& document_start) {
    const at::NoGradGuard no_grad;
    if (plan.compressed > 0) {
      if (compressed_turns.cos.defined() && compressed_turns_n == n) return compressed_turns;
      compressed_turns_n = n;
      const auto share =
          static_cast<double>(config.sequence - config.latent_rows()) / static_cast<double>(plan.compressed);
      const at::Tensor from_end = (at::arange(plan.compressed, at::kDouble) - plan.compressed + 0.5) * share;
      const at::Tensor tokens = at::arange(plan.first_token, n, at::kDouble);
      return compressed_turns =
                 make_rotation(at::cat({from_end + (static_cast<double>(plan.first_token) - 0.5), tokens}),
                               config.head_dim(), config.rope_theta);
    }
    const bool kept = turns.cos.defined() && turns.cos.dim() == 2 && turns.cos.size(0) == n;
    if (!kept || document_start) {
      at::Tensor positions = at::arange(n, at::kLong);
      if (document_start) positions = positions - document_start->to(at::kLong);
      turns = make_rotation(positions, config.head_dim(), config.rope_theta);
    }
    return plan.first_token == 0 ? turns : turns.rows(plan.first_token, plan.rows);
  }

  at::Tensor embedding;
  std::vector<Layer> layers;
  Rotation turns;             // of the last pass
  Rotation compressed_turns;  // of layers with a compressed history, for windows of this length
  std::int64_t compressed_turns_n = 0;
  Norm norm;
};

Backbone::Backbone(ModelConfig config)
    : config_(validated(std::move(config))), table_(ecp::parameters(config_)) {
  kernels::isa();  // chooses the vector kernels, or says why it can't
  for (const Parameter& parameter : table_) {
    const at::Tensor tensor = at::empty(parameter.shape, at::kFloat).set_requires_grad(true);
    register_dotted(*this, parameter.name, tensor);
    by_name_.add(parameter.name, tensor);
  }
  layers_ = std::make_unique<Layers>(config_, by_name_);
}

Backbone::~Backbone() = default;

void Backbone::initialize(std::uint64_t seed) {
  const at::NoGradGuard no_grad;
  const auto named = named_parameters();
  for (const Parameter& parameter : table_) {
    initialize_parameter(named[parameter.name], parameter, seed);
    values_changed(named[parameter.name]);
  }
}

void Backbone::load(const TensorSet& weights) {
  const at::NoGradGuard no_grad;
  check_weights(weights, config_);
  const auto named = named_parameters();
  for (const Parameter& parameter : table_) {
    const std::vector<float> values = float_values(weights, parameter.name);
    std::memcpy(named[parameter.name].mutable_data_ptr<float>(), values.data(),
                values.size() * sizeof(float));
    values_changed(named[parameter.name]);
  }
}

std::vector<NamedTensor> Backbone::weights() const {
  std::vector<NamedTensor> all;
  const auto named = named_parameters();
  for (const Parameter& parameter : table_) {
    const at::Tensor& tensor = named[parameter.name];
    const auto* data = static_cast<const std::byte*>(tensor.const_data_ptr());
    all.push_back({parameter.name, {DType::f32, parameter.shape, {data, tensor.nbytes()}}});
  }
  return all;
}

at::Tensor Backbone::hidden(const at::Tensor& tokens_BN, const ForwardContext& context) {
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

  require(!context.document_start || !config_.has_unmasked_history(),
          "model: architecture {} can't keep documents apart (its history is unmasked): expected "
          "data.cross_documents = true",
          config_.architecture);

  Sum x{at::embedding(layers_->embedding, tokens_BN), {}};
  const auto kept =
      std::make_shared<const ForwardContext>(context);  // for the backward, where one recomputes
  std::int64_t index = 0;
  for (const Layers::Layer& layer : layers_->layers) {
    const LayerContext now = layers_->context_of(config_, index++, tokens_BN.size(1), *kept, dropout);
    if (context.recompute) {
      const auto part = [kept, now, &layer](const at::Tensor& in) {
        const Sum out = Layers::run(layer, {in, {}}, now);
        return out.x + out.added;
      };
      x = {recomputed(part, x.x), {}};
    } else {
      x = Layers::run(layer, x, now);
    }
  }
  return layers_->norm(x).normed;
}

const Weights& Backbone::parameters_by_name() const { return by_name_; }

}  // namespace ecp
