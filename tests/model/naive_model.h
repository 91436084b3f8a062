// The models once more in float64, row by row from SPEC's words, slow and plain: what the fast forward is
// checked against. Built of differentiable tensor operations, so that it checks gradients as well.
#pragma once

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ecp/config/model_config.h"

namespace ecp::test {

class NaiveModel {
 public:
  NaiveModel(ModelConfig config, std::map<std::string, at::Tensor> weights)
      : config_(std::move(config)), weights_(std::move(weights)) {}

  /// [n, V] for one sequence of token ids; `starts`: each row's document's first row.
  at::Tensor logits(const at::Tensor& tokens_N,
                    const std::optional<at::Tensor>& starts = std::nullopt) const {
    at::Tensor x = weight("embedding.weight").index_select(0, tokens_N);
    for (std::int64_t layer = 0; layer < config_.layers; ++layer) {
      const std::string at = "layers." + std::to_string(layer) + ".";
      x = x + attention(norm(x, at + "attention.norm"), at + "attention.", layer, starts);
      x = x + feed_forward(norm(x, at + "ffn.norm"), at + "ffn.");
    }
    const at::Tensor classifier = weight(config_.tie_embeddings ? "embedding.weight" : "classifier.weight");
    const at::Tensor out = at::matmul(norm(x, "norm"), classifier.t());
    return has("classifier.bias") ? out + weight("classifier.bias") : out;
  }

  /// Σ −log p of tokens [B, n+1].
  at::Tensor loss_sum(const at::Tensor& tokens_BN1) const {
    at::Tensor sum = at::zeros({}, at::kDouble);
    const std::int64_t n = tokens_BN1.size(1) - 1;
    for (std::int64_t b = 0; b < tokens_BN1.size(0); ++b) {
      const at::Tensor log_p = at::log_softmax(logits(tokens_BN1[b].slice(0, 0, n)), -1);
      sum = sum - log_p.gather(1, tokens_BN1[b].slice(0, 1, n + 1).unsqueeze(1)).sum();
    }
    return sum;
  }

 private:
  [[nodiscard]] bool has(const std::string& name) const { return weights_.contains(name); }
  [[nodiscard]] const at::Tensor& weight(const std::string& name) const { return weights_.at(name); }

  [[nodiscard]] at::Tensor linear(const at::Tensor& x, const std::string& name) const {
    const at::Tensor y = at::matmul(x, weight(name + ".weight").t());
    return has(name + ".bias") ? y + weight(name + ".bias") : y;
  }

  [[nodiscard]] at::Tensor rms(const at::Tensor& x, const at::Tensor& w) const {
    return x / at::sqrt(x.square().mean(-1, true) + config_.norm_eps) * w;
  }

  [[nodiscard]] at::Tensor norm(const at::Tensor& x, const std::string& name) const {
    if (config_.norm == "rms") return rms(x, weight(name + ".weight"));
    const at::Tensor centred = x - x.mean(-1, true);
    return centred / at::sqrt(centred.square().mean(-1, true) + config_.norm_eps) * weight(name + ".weight") +
           weight(name + ".bias");
  }

  [[nodiscard]] at::Tensor feed_forward(const at::Tensor& x, const std::string& at) const {
    const at::Tensor up = linear(x, at + "up");
    if (config_.ffn == "gelu") return linear(up * 0.5 * (1 + at::erf(up / std::sqrt(2.0))), at + "down");
    const at::Tensor gate = linear(x, at + "gate");
    return linear(gate * at::sigmoid(gate) * up, at + "down");
  }

  /// x [heads, d_h] at one position.
  [[nodiscard]] at::Tensor rotated(const at::Tensor& x, std::int64_t position) const {
    const std::int64_t width = x.size(-1);
    std::vector<at::Tensor> columns(static_cast<std::size_t>(width));
    for (std::int64_t i = 0; i < width; i += 2) {
      const double angle = static_cast<double>(position) *
                           std::pow(config_.rope_theta, -static_cast<double>(i) / static_cast<double>(width));
      const at::Tensor even = x.select(-1, i), odd = x.select(-1, i + 1);
      columns[static_cast<std::size_t>(i)] = even * std::cos(angle) - odd * std::sin(angle);
      columns[static_cast<std::size_t>(i + 1)] = odd * std::cos(angle) + even * std::sin(angle);
    }
    return at::stack(columns, -1);
  }

  /// Where query row i puts key row j: positions from the window's or document's start, but in the paper's
  /// form beyond the trained length relative to the last trained block.
  [[nodiscard]] std::int64_t position(std::int64_t i, std::int64_t j, std::int64_t n,
                                      std::int64_t start) const {
    const std::int64_t b = config_.block, last = std::max<std::int64_t>(0, config_.sequence / b - 1);
    if (!config_.rotate_values || config_.architecture != "ecp" || n <= (last + 1) * b) return j - start;
    return (std::min(i / b, last) - (i / b - j / b)) * b + j % b;
  }

  [[nodiscard]] at::Tensor attention(const at::Tensor& x, const std::string& at, std::int64_t layer,
                                     const std::optional<at::Tensor>& starts) const {
    const std::int64_t n = x.size(0), heads = config_.heads, kv_heads = config_.key_heads(),
                       width = config_.head_dim();
    at::Tensor q = linear(x, at + "q").view({n, heads, width});
    at::Tensor k = linear(x, at + (config_.shared_kv ? "kv" : "k")).view({n, kv_heads, width});
    const at::Tensor v = config_.shared_kv ? k : linear(x, at + "v").view({n, kv_heads, width});
    if (config_.qk_norm == "rms") {
      q = rms(q, weight(at + "q_norm.weight"));
      k = rms(k, weight(at + "k_norm.weight"));
    }
    const bool rotates = config_.rope == "all" || (config_.rope == "first" && layer == 0);
    std::vector<at::Tensor> rows;
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int64_t start = starts ? (*starts)[i].item<std::int64_t>() : 0;
      std::int64_t lo = start;
      if (config_.architecture == "ecp")
        lo = std::max(lo, (i / config_.block - config_.lookback) * config_.block);
      const auto turned = [&](const at::Tensor& row, std::int64_t j) {
        return rotates ? rotated(row, position(i, j, n, start)) : row;
      };
      std::vector<at::Tensor> keys, values;
      for (std::int64_t j = lo; j <= i; ++j) {
        keys.push_back(turned(k[j], j));
        values.push_back(config_.rotate_values ? keys.back() : v[j]);
      }
      const auto of_heads = [&](const std::vector<at::Tensor>& list) {  // [H, keys, d_h]
        return at::stack(list).repeat_interleave(heads / kv_heads, 1).transpose(0, 1);
      };
      const at::Tensor scores = at::matmul(of_heads(keys), turned(q[i], i).unsqueeze(-1)).squeeze(-1) /
                                std::sqrt(static_cast<double>(width));
      const at::Tensor seen = at::matmul(at::softmax(scores, -1).unsqueeze(1), of_heads(values)).flatten();
      const bool first = config_.first_block_output && i < config_.block;
      rows.push_back(linear(seen, at + (first ? "out_0" : "out")));
    }
    return at::stack(rows);
  }

  ModelConfig config_;
  std::map<std::string, at::Tensor> weights_;
};

}  // namespace ecp::test
