#include "ecp/model/attention.h"

#include <torch/torch.h>

#include <vector>

#include "ecp/model/norm.h"

namespace ecp {
namespace {

/// Part of a dimension; the tensor itself if that is all of it, so that autograd has nothing to undo.
at::Tensor part(const at::Tensor& t, std::int64_t dim, std::int64_t from, std::int64_t count) {
  return from == 0 && count == t.size(dim) ? t : t.narrow(dim, from, count);
}

at::Tensor joined(std::vector<at::Tensor>& parts, std::int64_t dim) {
  return parts.size() == 1 ? std::move(parts.front()) : at::cat(parts, dim);
}

}  // namespace

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
      eps_(config.norm_eps) {
  if (!shared_kv_) v_ = Linear(weights, name + "v");
  if (config.qk_norm == "layer") {
    kv_norm_ = weights.at(name + "kv_norm.weight");
    kv_norm_bias_ = weights.at(name + "kv_norm.bias");
  }
}

at::Tensor Attention::forward(const at::Tensor& x_BND, const LayerContext& context) const {
  Projected projected = project(x_BND, context);
  rotate_all(projected, context);
  return output(attend(projected, context), context);
}

at::Tensor Attention::residual(const at::Tensor& x_BND, const LayerContext& context) const {
  const LayerPlan& plan = context.plan;
  return part(x_BND, 1, plan.first_out, plan.rows - plan.first_out);
}

Projected Attention::project(const at::Tensor& x_BND, const LayerContext& context) const {
  const bool bfloat16 = context.forward.bfloat16;
  const LayerPlan& plan = context.plan;
  const auto heads_of = [&](const at::Tensor& x, const Linear& linear, std::int64_t heads,
                            const at::Tensor& norm) {
    at::Tensor rows = linear(x, bfloat16).unflatten(-1, {heads, head_dim_});
    return norm.defined() ? rms_norm(rows, norm, eps_) : rows;
  };
  const at::Tensor queries = part(x_BND, 1, plan.first_out, plan.rows - plan.first_out);
  Projected projected{heads_of(queries, q_, heads_, q_norm_), heads_of(x_BND, k_, kv_heads_, k_norm_),
                      std::nullopt};
  if (!shared_kv_) projected.v = heads_of(x_BND, v_, kv_heads_, {});
  return projected;
}

void Attention::rotate_all(Projected& projected, const LayerContext& context) const {
  if (rotates_) {
    const LayerPlan& plan = context.plan;
    projected.q = rotate(projected.q, context.rotation.rows(plan.first_out, plan.rows - plan.first_out));
    projected.k = rotate(projected.k, context.rotation);
  }
  if (!kv_norm_.defined()) return;
  const at::Tensor wide = projected.k.to(kv_norm_.scalar_type());
  projected.k = at::layer_norm(wide, {head_dim_}, kv_norm_, kv_norm_bias_, eps_).to(projected.k.dtype());
}

at::Tensor Attention::attend(const Projected& projected, const LayerContext& context, const Pattern& pattern,
                             std::int64_t query_offset, std::int64_t key_offset,
                             const std::optional<at::Tensor>& document_start, std::int64_t call) const {
  constexpr std::int64_t most_layers = 1024;
  ops::AttentionOptions options;
  options.query_offset = query_offset;
  options.key_offset = key_offset;
  options.document_start = document_start;
  options.dropout = context.dropout_key(layer_ + most_layers * call);
  return ops::interval_attention(projected.q, projected.k, projected.v, pattern, options).out;
}

at::Tensor Attention::attend(const Projected& projected, const LayerContext& context) const {
  const LayerPlan& plan = context.plan;
  const std::int64_t group = heads_ / kv_heads_;
  std::vector<at::Tensor> rows, heads;
  for (std::size_t i = 0; i < plan.calls.size(); ++i) {
    const AttentionCall& call = plan.calls[i];
    const auto keys_of = [&](const at::Tensor& t) {
      return part(part(t, 1, 0, call.keys), 2, call.first_head / group, call.heads / group);
    };
    Projected of_call{part(part(projected.q, 1, call.first_query - plan.first_out, call.queries), 2,
                           call.first_head, call.heads),
                      keys_of(projected.k), std::nullopt};
    if (projected.v) of_call.v = keys_of(*projected.v);
    std::optional<at::Tensor> document_start;
    if (context.document_start)
      document_start = part(*context.document_start, 1, call.first_query, call.queries);
    heads.push_back(attend(of_call, context, call.pattern, call.first_query + call.shift, call.shift,
                           document_start, static_cast<std::int64_t>(i)));
    const bool more_heads = i + 1 < plan.calls.size() && plan.calls[i + 1].first_query == call.first_query;
    if (more_heads) continue;
    rows.push_back(joined(heads, 2));
    heads.clear();
  }
  return joined(rows, 1).flatten(2);
}

at::Tensor Attention::output(const at::Tensor& heads_BND, const LayerContext& context) const {
  return out_(heads_BND, context.forward.bfloat16);
}

std::unique_ptr<Attention> make_attention(const Weights& weights, const std::string& name,
                                          const ModelConfig& config, std::int64_t layer) {
  if (config.architecture == "ecp") return make_ecp_attention(weights, name, config, layer);
  if (config.architecture == "compressed") return make_compressed_attention(weights, name, config, layer);
  return std::make_unique<Attention>(weights, name, config, layer);
}

}  // namespace ecp
