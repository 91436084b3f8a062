// The attention of a layer: projections, query/key norms, rotation, the layer's plan of interval attention,
// output projection. That is all there is to most architectures; the others override one step of it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "ecp/config/model_config.h"
#include "ecp/model/context.h"
#include "ecp/model/linear.h"

namespace ecp {

/// Queries, keys and values of a layer; v absent where k serves as both.
struct Projected {
  at::Tensor q;                 // [B, rows − first_out, H, d_h]
  at::Tensor k;                 // [B, rows, H_kv, d_h]
  std::optional<at::Tensor> v;  // [B, rows, H_kv, d_h]
};

class Attention {
 public:
  /// The parameters whose names begin with `name` ("layers.0.attention.").
  Attention(const Weights& weights, const std::string& name, const ModelConfig& config, std::int64_t layer);
  virtual ~Attention() = default;
  Attention(const Attention&) = delete;
  Attention& operator=(const Attention&) = delete;

  /// Normed input [B, rows, d] → [B, rows_out, d], to be added to `residual` of the stream.
  [[nodiscard]] virtual at::Tensor forward(const at::Tensor& x_BND, const LayerContext& context) const;
  /// The residual stream [B, rows, d] as it goes past this layer, [B, rows_out, d].
  [[nodiscard]] virtual at::Tensor residual(const at::Tensor& x_BND, const LayerContext& context) const;

 protected:
  /// Projected and normalised, not yet rotated.
  [[nodiscard]] Projected project(const at::Tensor& x_BND, const LayerContext& context) const;
  [[nodiscard]] bool rotates() const { return rotates_; }
  /// Rotates queries and keys (and with shared_kv values) where this layer does, and normalises rotated keys
  /// and values in the architectures that do so then.
  void rotate_all(Projected& projected, const LayerContext& context) const;
  /// The plan's calls of the attention operator. Returns the heads' outputs beside each other, [B, rows −
  /// first_out, d].
  [[nodiscard]] at::Tensor attend(const Projected& projected, const LayerContext& context) const;
  /// One call: `part`'s rows begin at rows `query_offset` and `key_offset` of the pattern's stream. `call`
  /// counts the calls of a layer that are to differ in dropout. [B, rows, heads, d_h].
  [[nodiscard]] at::Tensor attend(const Projected& part, const LayerContext& context, const Pattern& pattern,
                                  std::int64_t query_offset, std::int64_t key_offset,
                                  const std::optional<at::Tensor>& document_start = std::nullopt,
                                  std::int64_t call = 0) const;
  [[nodiscard]] at::Tensor output(const at::Tensor& heads_BND, const LayerContext& context) const;

 private:
  Linear q_, k_, v_, out_;
  at::Tensor q_norm_, k_norm_;
  at::Tensor kv_norm_, kv_norm_bias_;  // after rotation; undefined: none
  bool shared_kv_;
  bool rotates_;
  std::int64_t heads_, kv_heads_, head_dim_, layer_;
  double eps_;
};

// The architectures whose layers do more than attend by their plan.
std::unique_ptr<Attention> make_ecp_attention(const Weights& weights, const std::string& name,
                                              const ModelConfig& config, std::int64_t layer);
std::unique_ptr<Attention> make_compressed_attention(const Weights& weights, const std::string& name,
                                                     const ModelConfig& config, std::int64_t layer);

/// The attention of `config.architecture`.
std::unique_ptr<Attention> make_attention(const Weights& weights, const std::string& name,
                                          const ModelConfig& config, std::int64_t layer);

}  // namespace ecp
