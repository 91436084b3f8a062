#include "ecp/runtime/weights.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <span>

#include "ecp/base/error.h"
#include "ecp/base/hash.h"
#include "ecp/config/config_file.h"
#include "ecp/config/parameters.h"
#include "ecp/weights/quantized.h"

namespace ecp::runtime {
namespace {

using kernels::WeightMatrix;
using kernels::WeightType;

std::string text(const std::vector<std::int64_t>& shape) {
  std::string all = "[";
  for (const std::int64_t extent : shape) all += (all.size() > 1 ? ", " : "") + std::to_string(extent);
  return all + "]";
}

WeightType type_of(DType dtype) {
  return dtype == DType::bf16 ? WeightType::bfloat16
         : dtype == DType::i8 ? WeightType::int8
                              : WeightType::float32;
}

/// Copies tensors into memory of their own.
class Loader {
 public:
  Loader(const ModelConfig& config, const Weights::Find& find) : find_(find) {
    for (const Parameter& parameter : parameters(config)) shapes_[parameter.name] = parameter.shape;
  }

  /// A tensor as float32; null if the model has none of that name.
  const float* floats(const std::vector<std::string>& names) {
    if (!shapes_.contains(names.front())) return nullptr;
    std::vector<float> values;
    for (const std::string& name : names) {
      const std::vector<float> more = tensor(name).to_float();
      values.insert(values.end(), more.begin(), more.end());
    }
    float* const to = memory(static_cast<std::int64_t>(values.size()));
    std::copy(values.begin(), values.end(), to);
    return to;
  }

  /// Matrices below one another, in their common type; without data if the model has none of the first name.
  WeightMatrix matrix(const std::vector<std::string>& names) {
    const auto shape = shapes_.find(names.front());
    if (shape == shapes_.end()) return {};
    WeightMatrix result{nullptr, type_of(tensor(names.front()).dtype), shape->second.at(1), nullptr};
    std::int64_t rows = 0;
    for (const std::string& name : names) {
      rows += shapes_.at(name)[0];
      if (type_of(tensor(name).dtype) != result.type) result.type = WeightType::float32;
    }
    const std::int64_t row_bytes = kernels::weight_stride(result.type, result.in) * size_of(result.type);
    auto* to = reinterpret_cast<std::byte*>(memory((rows * row_bytes + 3) / 4));
    result.data = to;
    const std::int64_t groups = kernels::weight_groups(result.in);
    float* scales = result.type == WeightType::int8 ? memory(rows * groups) : nullptr;
    result.scales = scales;
    for (const std::string& name : names) {
      const std::int64_t count = shapes_.at(name)[0];
      if (result.type == WeightType::float32) {
        const std::vector<float> values = floats_of(name);
        std::memcpy(to, values.data(), values.size() * sizeof(float));
      } else {
        copy_rows(tensor(name).bytes, count, result.in * size_of(result.type), row_bytes, to);
      }
      to += count * row_bytes;
      if (scales == nullptr) continue;
      const std::vector<float> more = scales_of(name, count, groups);
      scales = std::copy(more.begin(), more.end(), scales);
    }
    return result;
  }

  NormWeights norm(const std::string& name) { return {floats({name + ".weight"}), floats({name + ".bias"})}; }

  Linear linear(const std::vector<std::string>& names) {
    Linear result;
    std::vector<std::string> weights, biases;
    for (const std::string& name : names) {
      weights.push_back(name + ".weight");
      biases.push_back(name + ".bias");
      const auto shape = shapes_.find(weights.back());
      if (shape == shapes_.end()) return result;
      result.out += shape->second[0];
    }
    result.weight = matrix(weights);
    result.bias = floats(biases);
    return result;
  }

  std::vector<FloatBuffer> take() { return std::move(memory_); }

 private:
  const TensorView& tensor(const std::string& name) {
    const TensorView& found = find_(name);
    const auto& expected = shapes_.at(name);
    require(found.shape == expected, "tensor '{}': expected shape {}, got {}", name, text(expected),
            text(found.shape));
    return found;
  }

  std::vector<float> scales_of(const std::string& name, std::int64_t rows, std::int64_t groups) {
    const TensorView& scales = find_(scale_name(name));
    require(scales.shape == std::vector<std::int64_t>{rows, groups}, "tensor '{}': expected shape {}, got {}",
            scale_name(name), text({rows, groups}), text(scales.shape));
    return scales.to_float();
  }

  std::vector<float> floats_of(const std::string& name) {
    const TensorView& numbers = tensor(name);
    return numbers.dtype == DType::i8 ? dequantized(numbers, find_(scale_name(name))) : numbers.to_float();
  }

  static void copy_rows(std::span<const std::byte> from, std::int64_t rows, std::int64_t bytes,
                        std::int64_t stride, std::byte* to) {
    for (std::int64_t row = 0; row < rows; ++row) {
      std::memcpy(to + row * stride, from.data() + row * bytes, static_cast<std::size_t>(bytes));
    }
  }

  float* memory(std::int64_t count) { return memory_.emplace_back(count).data(); }

  const Weights::Find& find_;
  std::map<std::string, std::vector<std::int64_t>> shapes_;
  std::vector<FloatBuffer> memory_;
};

}  // namespace

Weights::Weights(const ModelConfig& config, const Find& find) : config_(config) {
  config.validate();
  Loader loader(config, find);
  embedding = loader.matrix({"embedding.weight"});
  for (std::int64_t i = 0; i < config.layers; ++i) {
    const std::string attention = "layers." + std::to_string(i) + ".attention.";
    const std::string ffn = "layers." + std::to_string(i) + ".ffn.";
    LayerWeights& layer = layers.emplace_back();
    layer.attention_norm = loader.norm(attention + "norm");
    layer.qkv = config.shared_kv ? loader.linear({attention + "q", attention + "kv"})
                                 : loader.linear({attention + "q", attention + "k", attention + "v"});
    layer.q_norm = loader.floats({attention + "q_norm.weight"});
    layer.k_norm = loader.floats({attention + "k_norm.weight"});
    layer.out = loader.linear({attention + "out"});
    layer.first_out = loader.linear({attention + "out_0"});
    layer.ffn_norm = loader.norm(ffn + "norm");
    layer.up =
        config.ffn == "swiglu" ? loader.linear({ffn + "gate", ffn + "up"}) : loader.linear({ffn + "up"});
    layer.down = loader.linear({ffn + "down"});
  }
  norm = loader.norm("norm");
  if (config.tie_embeddings) {
    classifier = {embedding, loader.floats({"classifier.bias"}), config.vocab};
  } else {
    classifier = loader.linear({"classifier"});
  }
  memory_ = loader.take();
}

std::string Weights::hash() const {
  Hasher hasher;
  hasher.update(to_json(config_));
  for (const FloatBuffer& buffer : memory_) {
    hasher.update(buffer.data(), static_cast<std::size_t>(buffer.size()) * sizeof(float));
  }
  return hasher.digest();
}

}  // namespace ecp::runtime
