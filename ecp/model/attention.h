// What the attention of every architecture shares: projections, query/key norms, rotation, output projection.
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
  at::Tensor q;                 // [B, n, H, d_h]
  at::Tensor k;                 // [B, n, H_kv, d_h]
  std::optional<at::Tensor> v;  // [B, n, H_kv, d_h]
};

class Attention {
 public:
  /// The parameters whose names begin with `name` ("layers.0.attention.").
  Attention(const Weights& weights, const std::string& name, const ModelConfig& config, std::int64_t layer);
  virtual ~Attention() = default;
  Attention(const Attention&) = delete;
  Attention& operator=(const Attention&) = delete;

  /// Normed input [B, n, d] → [B, n, d], to be added to the residual stream.
  [[nodiscard]] virtual at::Tensor forward(const at::Tensor& x_BND, const LayerContext& context) const = 0;

 protected:
  /// Projected and normalised, not yet rotated.
  [[nodiscard]] Projected project(const at::Tensor& x_BND, const LayerContext& context) const;
  [[nodiscard]] bool rotates() const { return rotates_; }
  /// Rotates queries and keys (and with shared_kv values) where this layer does.
  void rotate_all(Projected& projected, const LayerContext& context) const;
  /// The attention operator with this layer's pattern, dropout and documents; rows begin at `query_offset`
  /// and `key_offset`. Returns the heads' outputs beside each other, [B, n, d].
  [[nodiscard]] at::Tensor attend(const Projected& projected, const LayerContext& context,
                                  std::int64_t query_offset = 0, std::int64_t key_offset = 0) const;
  [[nodiscard]] at::Tensor output(const at::Tensor& heads_BND, const LayerContext& context) const;

 private:
  Linear q_, k_, v_, out_;
  at::Tensor q_norm_, k_norm_;
  bool shared_kv_;
  bool rotates_;
  std::int64_t heads_, kv_heads_, head_dim_, layer_;
  double eps_;
  Pattern pattern_;
};

// The architectures, an explicit list.
std::unique_ptr<Attention> make_ecp_attention(const Weights& weights, const std::string& name,
                                              const ModelConfig& config, std::int64_t layer);
std::unique_ptr<Attention> make_full_attention(const Weights& weights, const std::string& name,
                                               const ModelConfig& config, std::int64_t layer);

/// The attention of `config.architecture`.
std::unique_ptr<Attention> make_attention(const Weights& weights, const std::string& name,
                                          const ModelConfig& config, std::int64_t layer);

}  // namespace ecp
