#include "ecp/runtime/weights.h"

#include <algorithm>
#include <map>

#include "ecp/base/error.h"
#include "ecp/config/parameters.h"

namespace ecp::runtime {
namespace {

/// Copies tensors one behind the other into one block of memory.
class Loader {
 public:
  Loader(const ModelConfig& config, const Weights::Find& find) : find_(find) {
    std::int64_t total = 0;
    for (const Parameter& parameter : parameters(config)) {
      shapes_[parameter.name] = parameter.shape;
      require(!__builtin_add_overflow(total, padded(parameter.elements()), &total),
              "model: its size overflows");
    }
    memory_ = FloatBuffer(total);
  }

  /// The named tensors below one another; null if there is none of the first one's name.
  const float* load(const std::vector<std::string>& names) {
    if (!shapes_.contains(names.front())) return nullptr;
    float* const begin = memory_.data() + used_;
    float* end = begin;
    for (const std::string& name : names) {
      const TensorView& tensor = find_(name);
      const auto& expected = shapes_.at(name);
      require(tensor.shape == expected, "tensor '{}': expected shape {}, got {}", name, text(expected),
              text(tensor.shape));
      const std::vector<float> values = tensor.to_float();
      end = std::copy(values.begin(), values.end(), end);
    }
    used_ += padded(end - begin);
    return begin;
  }

  NormWeights norm(const std::string& name) { return {load({name + ".weight"}), load({name + ".bias"})}; }

  Linear linear(const std::vector<std::string>& names) {
    Linear result;
    std::vector<std::string> weights, biases;
    for (const std::string& name : names) {
      weights.push_back(name + ".weight");
      biases.push_back(name + ".bias");
      const auto shape = shapes_.find(weights.back());
      if (shape == shapes_.end()) return result;
      result.out += shape->second[0];
      result.in = shape->second[1];
    }
    result.weight = load(weights);
    result.bias = load(biases);
    return result;
  }

  FloatBuffer take() { return std::move(memory_); }

 private:
  static std::int64_t padded(std::int64_t count) {
    std::int64_t sum = 0;
    require(!__builtin_add_overflow(count, 15, &sum), "model: its size overflows");
    return sum / 16 * 16;
  }
  static std::string text(const std::vector<std::int64_t>& shape) {
    std::string all = "[";
    for (const std::int64_t extent : shape) all += (all.size() > 1 ? ", " : "") + std::to_string(extent);
    return all + "]";
  }

  const Weights::Find& find_;
  std::map<std::string, std::vector<std::int64_t>> shapes_;
  FloatBuffer memory_;
  std::int64_t used_ = 0;
};

}  // namespace

Weights::Weights(const ModelConfig& config, const Find& find) : config_(config) {
  config.validate();
  Loader loader(config, find);
  embedding = loader.load({"embedding.weight"});
  for (std::int64_t i = 0; i < config.layers; ++i) {
    const std::string attention = "layers." + std::to_string(i) + ".attention.";
    const std::string ffn = "layers." + std::to_string(i) + ".ffn.";
    LayerWeights& layer = layers.emplace_back();
    layer.attention_norm = loader.norm(attention + "norm");
    layer.qkv = config.shared_kv ? loader.linear({attention + "q", attention + "kv"})
                                 : loader.linear({attention + "q", attention + "k", attention + "v"});
    layer.q_norm = loader.load({attention + "q_norm.weight"});
    layer.k_norm = loader.load({attention + "k_norm.weight"});
    layer.out = loader.linear({attention + "out"});
    layer.first_out = loader.linear({attention + "out_0"});
    layer.ffn_norm = loader.norm(ffn + "norm");
    layer.up =
        config.ffn == "swiglu" ? loader.linear({ffn + "gate", ffn + "up"}) : loader.linear({ffn + "up"});
    layer.down = loader.linear({ffn + "down"});
  }
  norm = loader.norm("norm");
  if (config.tie_embeddings) {
    classifier = {embedding, loader.load({"classifier.bias"}), config.vocab, config.dim};
  } else {
    classifier = loader.linear({"classifier"});
  }
  memory_ = loader.take();
}

}  // namespace ecp::runtime
