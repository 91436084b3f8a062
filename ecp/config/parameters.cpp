#include "ecp/config/parameters.h"

#include <cmath>

#include "ecp/base/error.h"

namespace ecp {
namespace {

/// Builds the table in order; knows the initialisation rules, not the architecture.
class Table {
 public:
  explicit Table(const ModelConfig& config) : config_(config) {}

  void embedding(const std::string& name) {
    const bool uniform = config_.init == "uniform";
    add(name + ".weight", {config_.vocab, config_.dim}, Initializer::normal, uniform ? 1.0 : 0.02, false);
  }

  void norm(const std::string& name, std::int64_t width, bool bias) {
    add(name + ".weight", {width}, Initializer::ones, 0, false);
    if (bias) add(name + ".bias", {width}, Initializer::zeros, 0, false);
  }

  void linear(const std::string& name, std::int64_t out, std::int64_t in, bool bias,
              bool ends_in_residual = false) {
    if (config_.init == "uniform") {
      const double bound = 1 / std::sqrt(static_cast<double>(in));
      add(name + ".weight", {out, in}, Initializer::uniform, bound, true);
      if (bias) add(name + ".bias", {out}, Initializer::uniform, bound, false);
      return;
    }
    const double deviation =
        ends_in_residual ? 0.02 / std::sqrt(2.0 * static_cast<double>(config_.layers)) : 0.02;
    add(name + ".weight", {out, in}, Initializer::normal, deviation, true);
    if (bias) add(name + ".bias", {out}, Initializer::zeros, 0, false);
  }

  void bias_only(const std::string& name, std::int64_t out) {
    add(name + ".bias", {out}, Initializer::zeros, 0, false);
  }

  std::vector<Parameter> take() { return std::move(all_); }

 private:
  void add(std::string name, std::vector<std::int64_t> shape, Initializer initializer, double scale,
           bool decay) {
    all_.push_back({std::move(name), std::move(shape), initializer, scale, decay});
  }

  const ModelConfig& config_;
  std::vector<Parameter> all_;
};

void attention(Table& table, const ModelConfig& config, const std::string& at, std::int64_t layer) {
  const std::int64_t kv_dim = config.key_heads() * config.head_dim();
  table.norm(at + "norm", config.dim, config.norm == "layer");
  table.linear(at + "q", config.dim, config.dim, false);
  if (config.shared_kv) {
    table.linear(at + "kv", kv_dim, config.dim, false);
  } else {
    table.linear(at + "k", kv_dim, config.dim, false);
    table.linear(at + "v", kv_dim, config.dim, false);
  }
  if (config.qk_norm == "rms") {
    table.norm(at + "q_norm", config.head_dim(), false);
    table.norm(at + "k_norm", config.head_dim(), false);
  } else if (config.qk_norm != "none") {
    table.norm(at + "kv_norm", config.head_dim(), true);
  }
  if (config.architecture == "compressed" && layer == 0 && config.layers > 1) {
    table.linear(at + "compress", config.compressed_rows(), config.sequence - config.latent_rows(), true);
  }
  table.linear(at + "out", config.dim, config.dim, config.output_bias, true);
  if (config.first_block_output) table.linear(at + "out_0", config.dim, config.dim, config.output_bias, true);
}

void feed_forward(Table& table, const ModelConfig& config, const std::string& at) {
  table.norm(at + "norm", config.dim, config.norm == "layer");
  if (config.ffn == "swiglu") table.linear(at + "gate", config.inner_dim(), config.dim, config.ffn_bias);
  table.linear(at + "up", config.inner_dim(), config.dim, config.ffn_bias);
  table.linear(at + "down", config.dim, config.inner_dim(), config.ffn_bias, true);
}

}  // namespace

std::int64_t Parameter::elements() const {
  std::int64_t product = 1;
  for (const std::int64_t extent : shape) {
    require(!__builtin_mul_overflow(product, extent, &product), "parameter {}: its size overflows", name);
  }
  return product;
}

std::vector<Parameter> parameters(const ModelConfig& config) {
  require(config.vocab >= 1, "model.vocab: expected at least 1, got {}", config.vocab);
  Table table(config);
  table.embedding("embedding");
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {
    const std::string at = "layers." + std::to_string(layer) + ".";
    attention(table, config, at + "attention.", layer);
    feed_forward(table, config, at + "ffn.");
  }
  table.norm("norm", config.dim, config.norm == "layer");
  if (config.classes > 0) {
    table.linear("classifier", config.classes, config.dim, config.classifier_bias);
  } else if (!config.tie_embeddings) {
    table.linear("classifier", config.vocab, config.dim, config.classifier_bias);
  } else if (config.classifier_bias) {
    table.bias_only("classifier", config.vocab);
  }
  return table.take();
}

std::int64_t parameter_count(const ModelConfig& config, bool without_embeddings) {
  std::int64_t sum = 0;
  for (const Parameter& parameter : parameters(config)) {
    const bool embedding =
        parameter.name.starts_with("embedding.") || parameter.name.starts_with("classifier.");
    if (without_embeddings && embedding) continue;
    require(!__builtin_add_overflow(sum, parameter.elements(), &sum),
            "model: its number of parameters overflows");
  }
  return sum;
}

}  // namespace ecp
