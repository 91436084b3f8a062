#include "ecp/model/attention.h"

#include <torch/torch.h>

#include "ecp/base/error.h"
#include "ecp/model/norm.h"

namespace ecp {

Attention::Attention(const Weights& weights, const std::string& name, const ModelConfig& config,
                     std::int64_t layer)
    : q_(weights, name + "q"),
      k_(weights, name + (config.shared_kv ? "kv" : "k")),
      out_(weights, name + "out"),
      q_norm_(weights.find(name + "q_norm.weight")),
      k_norm_(weights.find(name + "k_norm.weight")),
      shared_kv_(config.shared_kv),
      rotates_(config.rotates(layer)),
      heads_(config.heads),
      kv_heads_(config.key_heads()),
      head_dim_(config.head_dim()),
      layer_(layer),
      eps_(config.norm_eps),
      pattern_(config.pattern()) {
  if (!shared_kv_) v_ = Linear(weights, name + "v");
}

Projected Attention::project(const at::Tensor& x_BND, const LayerContext& context) const {
  const bool bfloat16 = context.forward.bfloat16;
  const auto heads_of = [&](const Linear& linear, std::int64_t heads, const at::Tensor& norm) {
    at::Tensor rows = linear(x_BND, bfloat16).unflatten(-1, {heads, head_dim_});
    return norm.defined() ? rms_norm(rows, norm, eps_) : rows;
  };
  Projected projected{heads_of(q_, heads_, q_norm_), heads_of(k_, kv_heads_, k_norm_), std::nullopt};
  if (!shared_kv_) projected.v = heads_of(v_, kv_heads_, {});
  return projected;
}

void Attention::rotate_all(Projected& projected, const LayerContext& context) const {
  if (!rotates_) return;
  projected.q = rotate(projected.q, context.rotation);
  projected.k = rotate(projected.k, context.rotation);
}

at::Tensor Attention::attend(const Projected& projected, const LayerContext& context,
                             std::int64_t query_offset, std::int64_t key_offset) const {
  ops::AttentionOptions options;
  options.query_offset = query_offset;
  options.key_offset = key_offset;
  options.document_start = context.forward.document_start;
  options.dropout = context.dropout_key(layer_);
  return ops::interval_attention(projected.q, projected.k, projected.v, pattern_, options).out.flatten(2);
}

at::Tensor Attention::output(const at::Tensor& heads_BND, const LayerContext& context) const {
  return out_(heads_BND, context.forward.bfloat16);
}

std::unique_ptr<Attention> make_attention(const Weights& weights, const std::string& name,
                                          const ModelConfig& config, std::int64_t layer) {
  if (config.architecture == "ecp") return make_ecp_attention(weights, name, config, layer);
  if (config.architecture == "full") return make_full_attention(weights, name, config, layer);
  fail("model.architecture: expected \"ecp\" or \"full\", got \"{}\"", config.architecture);
}

}  // namespace ecp
