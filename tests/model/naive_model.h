// The models once more in float64, row by row from SPEC's words, slow and plain: what the fast forward is
// checked against. Built of differentiable tensor operations, so that it checks gradients as well.
#pragma once

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <limits>
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

  /// [rows, V] of the trained rows for one sequence of token ids; `starts`: each row's document's first row.
  at::Tensor logits(const at::Tensor& tokens_N,
                    const std::optional<at::Tensor>& starts = std::nullopt) const {
    const std::int64_t n = tokens_N.size(0),
                       latents = config_.is_latent() ? std::min(n, config_.latent_rows()) : n;
    Rows rows{n - latents, {}, {}};
    for (std::int64_t i = 0; i < n; ++i) {
      rows.starts.push_back(starts ? (*starts)[i].item<std::int64_t>() : 0);
      rows.positions.push_back(static_cast<double>(i - rows.starts.back()));
    }
    at::Tensor x = weight("embedding.weight").index_select(0, tokens_N);
    for (std::int64_t layer = 0; layer < config_.layers; ++layer) {
      const std::string at = "layers." + std::to_string(layer) + ".";
      const at::Tensor heads = attention(norm(x, at + "attention.norm"), at + "attention.", layer, rows);
      x = past_attention(x, heads, at + "attention.", layer, rows);
      x = x + feed_forward(norm(x, at + "ffn.norm"), at + "ffn.");
    }
    const at::Tensor classifier = weight(config_.tie_embeddings ? "embedding.weight" : "classifier.weight");
    const at::Tensor out = at::matmul(norm(x.slice(0, x.size(0) - latents), "norm"), classifier.t());
    return has("classifier.bias") ? out + weight("classifier.bias") : out;
  }

  /// Σ −log p of tokens [B, n+1], over the trained rows.
  at::Tensor loss_sum(const at::Tensor& tokens_BN1) const {
    at::Tensor sum = at::zeros({}, at::kDouble);
    const std::int64_t n = tokens_BN1.size(1) - 1;
    for (std::int64_t b = 0; b < tokens_BN1.size(0); ++b) {
      const at::Tensor log_p = at::log_softmax(logits(tokens_BN1[b].slice(0, 0, n)), -1);
      const at::Tensor targets = tokens_BN1[b].slice(0, n + 1 - log_p.size(0));
      sum = sum - log_p.gather(1, targets.unsqueeze(1)).sum();
    }
    return sum;
  }

 private:
  /// The rows of a layer: history, then those that have logits.
  struct Rows {
    std::int64_t history;
    std::vector<double> positions;
    std::vector<std::int64_t> starts;
  };

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
  [[nodiscard]] at::Tensor rotated(const at::Tensor& x, double position) const {
    const std::int64_t width = x.size(-1);
    std::vector<at::Tensor> columns(static_cast<std::size_t>(width));
    for (std::int64_t i = 0; i < width; i += 2) {
      const double angle =
          position * std::pow(config_.rope_theta, -static_cast<double>(i) / static_cast<double>(width));
      const at::Tensor even = x.select(-1, i), odd = x.select(-1, i + 1);
      columns[static_cast<std::size_t>(i)] = even * std::cos(angle) - odd * std::sin(angle);
      columns[static_cast<std::size_t>(i + 1)] = odd * std::cos(angle) + even * std::sin(angle);
    }
    return at::stack(columns, -1);
  }

  /// Where query row i puts key row j: positions from the window's or document's start, but in the paper's
  /// form of ecp beyond the trained length relative to the last trained block.
  [[nodiscard]] double position(std::int64_t i, std::int64_t j, const Rows& rows) const {
    const auto n = static_cast<std::int64_t>(rows.positions.size());
    const std::int64_t b = config_.block, last = std::max<std::int64_t>(0, config_.sequence / b - 1);
    const bool holds = config_.rotate_values && config_.architecture == "ecp" && !config_.shift_heads;
    if (!holds || n <= (last + 1) * b) return rows.positions[static_cast<std::size_t>(j)];
    return static_cast<double>((std::min(i / b, last) - (i / b - j / b)) * b + j % b);
  }

  /// The architectures in words.
  [[nodiscard]] bool sees(std::int64_t head, std::int64_t i, std::int64_t j, const Rows& rows) const {
    const std::string& is = config_.architecture;
    const bool shifted_half = head >= config_.heads / 2;
    if (config_.is_latent()) {
      if (i >= rows.history) return j <= i;  // all history and, causally, the latents
      if (j >= rows.history) return false;
      const std::int64_t s =
          config_.segment_rows();  // counted from the history's end: the first may be short
      return is != "split" || (rows.history - 1 - i) / s == (rows.history - 1 - j) / s;
    }
    if (!config_.causal)  // the blocks on both sides
      return is == "full" || std::abs(i / config_.block - j / config_.block) <= config_.lookback;
    if (is == "full") return j <= i;
    if (is == "sliding") return j <= i && i - j < config_.window_keys();
    if (is == "shifted") {  // what would wrap around is a group of its own
      const std::int64_t g = config_.group_rows(), moved = shifted_half ? g / 2 : 0;
      return j <= i && (i + moved) / g == (j + moved) / g;
    }
    const std::int64_t b = config_.block, moved = config_.shift_heads && shifted_half ? b / 2 : 0;
    return j <= i && (i + moved) / b - (j + moved) / b <= config_.lookback;
  }

  /// The heads' outputs beside each other; of rows that are keys only: zeros.
  [[nodiscard]] at::Tensor attention(const at::Tensor& x, const std::string& at, std::int64_t layer,
                                     const Rows& of) const {
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
      const auto turned = [&](const at::Tensor& row, std::int64_t j) {
        return rotates ? rotated(row, position(i, j, of)) : row;
      };
      std::vector<at::Tensor> keys, values;
      at::Tensor hidden = at::zeros({heads, 0}, at::kDouble);  // −∞ where a head doesn't see a key
      for (std::int64_t j = of.starts[static_cast<std::size_t>(i)]; j < n; ++j) {
        at::Tensor column = at::zeros({heads, 1}, at::kDouble);
        bool any = false;
        for (std::int64_t head = 0; head < heads; ++head) {
          const bool seen = sees(head, i, j, of);
          any = any || seen;
          if (!seen) column[head].fill_(-std::numeric_limits<double>::infinity());
        }
        if (!any) continue;
        hidden = at::cat({hidden, column}, 1);
        keys.push_back(turned(k[j], j));
        if (config_.qk_norm == "layer") {
          keys.back() = at::layer_norm(keys.back(), {width}, weight(at + "kv_norm.weight"),
                                       weight(at + "kv_norm.bias"), config_.norm_eps);
        }
        values.push_back(config_.shared_kv ? keys.back() : v[j]);
      }
      const auto of_heads = [&](const std::vector<at::Tensor>& list) {  // [H, keys, d_h]
        return at::stack(list).repeat_interleave(heads / kv_heads, 1).transpose(0, 1);
      };
      const at::Tensor scores = at::matmul(of_heads(keys), turned(q[i], i).unsqueeze(-1)).squeeze(-1) /
                                    std::sqrt(static_cast<double>(width)) +
                                hidden;
      rows.push_back(at::matmul(at::softmax(scores, -1).unsqueeze(1), of_heads(values)).flatten());
    }
    return at::stack(rows);
  }

  /// Output projection and residual; changes `rows` where the next layer has others.
  [[nodiscard]] at::Tensor past_attention(const at::Tensor& x, const at::Tensor& heads, const std::string& at,
                                          std::int64_t layer, Rows& rows) const {
    const std::int64_t n = x.size(0), history = rows.history;
    if (config_.architecture == "perceiver_ar" && layer == 0) {
      Rows latents{0, {rows.positions.begin() + history, rows.positions.end()}, {}};
      for (std::int64_t i = history; i < n; ++i)
        latents.starts.push_back(
            std::max<std::int64_t>(0, rows.starts[static_cast<std::size_t>(i)] - history));
      rows = latents;
      return x.slice(0, history) + linear(heads.slice(0, history), at + "out");
    }
    if (config_.architecture == "compressed" && layer == 0 && config_.layers > 1) {
      const std::int64_t p = config_.compressed_rows(), c = config_.sequence - config_.latent_rows();
      const auto padded = [&](const at::Tensor& y) {  // the history's c rows: zeros before the first
        return at::cat({at::zeros({c - history, config_.dim}, at::kDouble), y.slice(0, 0, history)});
      };
      const at::Tensor w = weight(at + "compress.weight");
      const at::Tensor projected = at::matmul(w, padded(heads)) + weight(at + "compress.bias").unsqueeze(1);
      const at::Tensor mixed = linear(at::cat({projected, heads.slice(0, history)}), at + "out");
      at::Tensor residual = at::cat({at::matmul(w, padded(x)), x.slice(0, history)});
      if (config_.compressed_residual == "authors")
        residual = at::cat({padded(x), x.slice(0, history)}).slice(0, 0, p + n - history);
      std::vector<double> positions;
      const double first = rows.positions[static_cast<std::size_t>(history)] - static_cast<double>(c);
      for (std::int64_t j = 0; j < p; ++j) {  // the middle of c / p rows
        const double share = static_cast<double>(c) / static_cast<double>(p);
        positions.push_back(first + (static_cast<double>(j) + 0.5) * share - 0.5);
      }
      positions.insert(positions.end(), rows.positions.begin() + history, rows.positions.end());
      rows = {p, positions, std::vector<std::int64_t>(positions.size(), 0)};
      return residual + mixed;
    }
    if (!config_.first_block_output) return x + linear(heads, at + "out");
    const std::int64_t first = std::min(n, config_.block);
    return x + at::cat({linear(heads.slice(0, 0, first), at + "out_0"),
                        linear(heads.slice(0, first), at + "out")});
  }

  ModelConfig config_;
  std::map<std::string, at::Tensor> weights_;
};

}  // namespace ecp::test
