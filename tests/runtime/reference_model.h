// The model once more, whole sequence, in float64, as plainly as it can be written: what the runtime is held
// to.
#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <numbers>
#include <string>
#include <vector>

#include "ecp/base/random.h"
#include "ecp/config/attention_plan.h"
#include "ecp/config/parameters.h"
#include "ecp/runtime/model.h"
#include "ecp/weights/convert.h"
#include "ecp/weights/quantized.h"

namespace ecp {

using Row = std::vector<double>;

/// A model's weights in memory, with values large enough that attention and every bias matter.
struct RandomWeights {
  std::map<std::string, std::vector<float>> values;
  std::vector<NamedTensor> tensors;
  std::map<std::string, std::vector<std::byte>> stored;  // of those that aren't `values` themselves
};

inline std::unique_ptr<RandomWeights> random_weights(const ModelConfig& config, std::uint64_t seed) {
  auto weights = std::make_unique<RandomWeights>();
  std::uint64_t index = 0;
  for (const Parameter& parameter : parameters(config)) {
    std::vector<float>& values = weights->values[parameter.name];
    const bool matrix = parameter.shape.size() == 2;
    const double scale = parameter.name.starts_with("embedding")
                             ? 5 / std::sqrt(static_cast<double>(config.dim))
                         : matrix ? 2.5 / std::sqrt(static_cast<double>(parameter.shape[1]))
                                  : 0.3;
    const double middle = parameter.initializer == Initializer::ones ? 1 : 0;
    for (std::int64_t i = 0; i < parameter.elements(); ++i) {
      values.push_back(static_cast<float>(middle + scale * (2 * random_uniform(seed, index++) - 1)));
    }
    weights->tensors.push_back(
        {parameter.name, {DType::f32, parameter.shape, std::as_bytes(std::span(values))}});
  }
  return weights;
}

/// Matrices become BF16 or I8; `values` are then what they stand for.
inline void store_matrices_as(DType dtype, RandomWeights& weights) {
  const auto store = [&](const std::string& name, std::vector<std::int64_t> shape, DType type,
                         const auto& numbers) {
    const auto bytes = std::as_bytes(std::span(numbers));
    auto& kept = weights.stored[name];
    kept.assign(bytes.begin(), bytes.end());
    return NamedTensor{name, {type, std::move(shape), kept}};
  };
  std::vector<NamedTensor> tensors;
  for (const NamedTensor& tensor : weights.tensors) {
    const auto& [name, view] = tensor;
    if (view.shape.size() != 2) {
      tensors.push_back(tensor);
      continue;
    }
    std::vector<float>& values = weights.values[name];
    if (dtype == DType::bf16) {
      std::vector<std::uint16_t> halves;
      for (const float value : values) halves.push_back(to_bf16(value));
      tensors.push_back(store(name, view.shape, dtype, halves));
      values = tensors.back().view.to_float();
    } else {
      const QuantizedValues numbers = quantized(values, view.shape[1], name);
      tensors.push_back(store(name, view.shape, dtype, numbers.numbers));
      tensors.push_back(store(scale_name(name), scale_shape(view.shape), DType::f32, numbers.scales));
      values = dequantized((tensors.end() - 2)->view, tensors.back().view);
    }
  }
  weights.tensors = std::move(tensors);
}

class ReferenceModel {
 public:
  ReferenceModel(const ModelConfig& config, const RandomWeights& weights)
      : config_(config), weights_(weights) {}

  /// Logits of each token. Positions are the rows, plus `shift`.
  std::vector<Row> logits(const std::vector<Token>& tokens, std::int64_t shift = 0) const {
    std::vector<Row> x;
    for (const Token token : tokens) x.push_back(row_of("embedding.weight", token));
    for (std::int64_t i = 0; i < config_.layers; ++i) {
      const std::string at = "layers." + std::to_string(i) + ".";
      attention(at + "attention.", i, shift, x);
      for (Row& row : x) add(row, feed_forward(at + "ffn.", normalize(at + "ffn.norm", row)));
    }
    std::vector<Row> result;
    for (const Row& row : x) {
      const std::string name = config_.tie_embeddings ? "embedding" : "classifier";
      result.push_back(linear(name, normalize("norm", row), "classifier.bias"));
    }
    return result;
  }

 private:
  const std::vector<float>* find(const std::string& name) const {
    const auto found = weights_.values.find(name);
    return found == weights_.values.end() ? nullptr : &found->second;
  }

  Row row_of(const std::string& name, std::int64_t row) const {
    const auto begin = find(name)->begin() + row * config_.dim;
    return {begin, begin + config_.dim};
  }

  static void add(Row& to, const Row& what) {
    for (std::size_t i = 0; i < to.size(); ++i) to[i] += what[i];
  }

  Row linear(const std::string& name, const Row& x, const std::string& bias_name = "") const {
    const auto& weight = *find(name + ".weight");
    const auto* bias = find(bias_name.empty() ? name + ".bias" : bias_name);
    Row y(weight.size() / x.size());
    for (std::size_t o = 0; o < y.size(); ++o) {
      y[o] = bias != nullptr ? (*bias)[o] : 0;
      for (std::size_t i = 0; i < x.size(); ++i) y[o] += static_cast<double>(weight[o * x.size() + i]) * x[i];
    }
    return y;
  }

  Row normalize(const std::string& name, const Row& x, bool rms_always = false) const {
    const bool layer = config_.norm == "layer" && !rms_always;
    const auto& weight = *find(name + ".weight");
    const auto* bias = find(name + ".bias");
    double mean = 0, square = 0;
    for (const double value : x) mean += layer ? value / static_cast<double>(x.size()) : 0;
    for (const double value : x) square += (value - mean) * (value - mean) / static_cast<double>(x.size());
    Row y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      y[i] = (x[i] - mean) / std::sqrt(square + config_.norm_eps) * weight[i] +
             (bias != nullptr ? (*bias)[i] : 0);
    }
    return y;
  }

  Row feed_forward(const std::string& at, const Row& x) const {
    Row inner = linear(at + "up", x);
    if (config_.ffn == "swiglu") {
      const Row gate = linear(at + "gate", x);
      for (std::size_t i = 0; i < inner.size(); ++i) inner[i] *= gate[i] / (1 + std::exp(-gate[i]));
    } else {
      for (double& value : inner) value *= 0.5 * std::erfc(-value / std::numbers::sqrt2);
    }
    return linear(at + "down", inner);
  }

  Row turned(const Row& x, std::int64_t position) const {
    Row y(x.size());
    for (std::size_t i = 0; i + 1 < x.size(); i += 2) {
      const double angle =
          static_cast<double>(position) *
          std::pow(config_.rope_theta, -static_cast<double>(i) / static_cast<double>(x.size()));
      y[i] = x[i] * std::cos(angle) - x[i + 1] * std::sin(angle);
      y[i + 1] = x[i] * std::sin(angle) + x[i + 1] * std::cos(angle);
    }
    return y;
  }

  Row head(const Row& x, std::int64_t index, const std::string& norm) const {
    const auto width = config_.head_dim();
    const Row part(x.begin() + index * width, x.begin() + (index + 1) * width);
    return find(norm + ".weight") != nullptr ? normalize(norm, part, true) : part;
  }

  /// The position of a query row: beyond the trained length, where values carry positions, that of the last
  /// whole trained block.
  std::int64_t position(std::int64_t row) const {
    if (config_.architecture != "ecp" || !config_.rotate_values || config_.shift_heads) return row;
    const std::int64_t last = std::max<std::int64_t>(1, config_.sequence / config_.block) - 1;
    return std::min(row / config_.block, last) * config_.block + row % config_.block;
  }

  [[nodiscard]] Interval seen_by(std::int64_t head, std::int64_t row) const {
    for (const HeadGroup& group : head_groups(config_)) {
      if (head < group.first_head + group.heads) return group.pattern.at(row);
    }
    return {};
  }

  void attention(const std::string& at, std::int64_t layer, std::int64_t shift, std::vector<Row>& x) const {
    const bool rotates = config_.rotates(layer);
    std::vector<Row> q, k, v;
    for (const Row& row : x) {
      const Row normal = normalize(at + "norm", row);
      q.push_back(linear(at + "q", normal));
      k.push_back(linear(at + (config_.shared_kv ? "kv" : "k"), normal));
      v.push_back(config_.shared_kv ? k.back() : linear(at + "v", normal));
    }
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(x.size()); ++i) {
      Row mixed;
      for (std::int64_t h = 0; h < config_.heads; ++h) {
        const Interval seen = seen_by(h, i);
        const std::int64_t key_head = h / (config_.heads / config_.key_heads());
        const std::int64_t own = position(i) + shift;
        Row query = head(q[static_cast<std::size_t>(i)], h, at + "q_norm");
        if (rotates) query = turned(query, own);
        Row weights, out(query.size());
        double highest = -1e300, sum = 0;
        for (std::int64_t j = seen.lo; j < seen.hi; ++j) {
          Row key = head(k[static_cast<std::size_t>(j)], key_head, at + "k_norm");
          if (rotates) key = turned(key, own - (i - j));
          double score = 0;
          for (std::size_t c = 0; c < key.size(); ++c) score += query[c] * key[c];
          weights.push_back(score / std::sqrt(static_cast<double>(key.size())));
          highest = std::max(highest, weights.back());
        }
        for (double& weight : weights) sum += weight = std::exp(weight - highest);
        for (std::int64_t j = seen.lo; j < seen.hi; ++j) {
          Row value = head(v[static_cast<std::size_t>(j)], key_head, "");
          if (rotates && config_.rotate_values) value = turned(value, own - (i - j));
          const double weight = weights[static_cast<std::size_t>(j - seen.lo)] / sum;
          for (std::size_t c = 0; c < out.size(); ++c) out[c] += weight * value[c];
        }
        mixed.insert(mixed.end(), out.begin(), out.end());
      }
      const bool first = config_.first_block_output && i < config_.block;
      add(x[static_cast<std::size_t>(i)], linear(at + (first ? "out_0" : "out"), mixed));
    }
  }

  ModelConfig config_;
  const RandomWeights& weights_;
};

inline std::vector<Token> random_tokens(std::int64_t count, std::int64_t vocab, std::uint64_t seed) {
  std::vector<Token> tokens(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = static_cast<Token>(random_below(static_cast<std::uint64_t>(vocab), seed, i));
  }
  return tokens;
}

}  // namespace ecp
