#include "ecp/ops/interval_attention.h"

#include <ATen/autocast_mode.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <cmath>
#include <string>
#include <tuple>

#include "ecp/base/error.h"
#include "ecp/kernels/isa.h"
#include "ecp/ops/interval_attention_cpu.h"
#include "ecp/ops/interval_attention_reference.h"

namespace ecp::ops {
namespace {

using OptionalTensor = std::optional<at::Tensor>;
using Two = std::tuple<at::Tensor, at::Tensor>;
using Three = std::tuple<at::Tensor, at::Tensor, at::Tensor>;
using Forward = Two(const at::Tensor&, const at::Tensor&, const OptionalTensor&, std::string_view,
                    at::IntArrayRef, std::int64_t, std::int64_t, const OptionalTensor&, std::optional<double>,
                    double, at::IntArrayRef);
using Backward = Three(const at::Tensor&, const at::Tensor&, const at::Tensor&, const OptionalTensor&,
                       const at::Tensor&, const at::Tensor&, std::string_view, at::IntArrayRef, std::int64_t,
                       std::int64_t, const OptionalTensor&, std::optional<double>, double, at::IntArrayRef);

c10::TypedOperatorHandle<Forward> forward_operator() {
  static const auto handle =
      c10::Dispatcher::singleton().findSchemaOrThrow("ecp::interval_attention", "").typed<Forward>();
  return handle;
}
c10::TypedOperatorHandle<Backward> backward_operator() {
  static const auto handle = c10::Dispatcher::singleton()
                                 .findSchemaOrThrow("ecp::interval_attention_backward", "")
                                 .typed<Backward>();
  return handle;
}

/// [2, 5, 4, 8] for messages.
std::string sizes_of(const at::Tensor& t) {
  std::string text = "[";
  for (std::int64_t i = 0; i < t.dim(); ++i) text += (i > 0 ? ", " : "") + std::to_string(t.size(i));
  return text + "]";
}

/// Rows that tile routines can walk: elements of a head beside each other, rows not overlapping.
at::Tensor walkable(const at::Tensor& t) {
  const bool fits = (t.size(3) == 1 || t.stride(3) == 1) && (t.size(1) <= 1 || t.stride(1) >= t.size(3));
  return fits ? t : t.clone(at::MemoryFormat::Contiguous);
}

DropoutKey dropout_key_of(double probability, at::IntArrayRef key, std::int64_t batch) {
  require(probability >= 0 && probability < 1,
          "interval_attention: dropout: expected a value in [0, 1), got {}", probability);
  DropoutKey dropout;
  dropout.probability = probability;
  if (probability == 0) return dropout;
  require(static_cast<std::int64_t>(key.size()) == 3 + batch,
          "interval_attention: dropout_key: expected seed, step, layer and the global index of each of {} "
          "samples, "
          "got {} integers",
          batch, key.size());
  dropout.seed = static_cast<std::uint64_t>(key[0]);
  dropout.step = key[1];
  dropout.layer = key[2];
  dropout.samples.assign(key.begin() + 3, key.end());
  return dropout;
}

void check_rows(const at::Tensor& q, const at::Tensor& t, const char* name) {
  require(t.dim() == 4, "interval_attention: {}: expected 4 dimensions [B, m, H_kv, d_h], got {}", name,
          sizes_of(t));
  require(t.scalar_type() == q.scalar_type(), "interval_attention: {}: expected q's dtype {}, got {}", name,
          c10::toString(q.scalar_type()), c10::toString(t.scalar_type()));
  require(t.device() == q.device(), "interval_attention: {}: expected q's device {}, got {}", name,
          q.device().str(), t.device().str());
  require(t.size(0) == q.size(0) && t.size(3) == q.size(3),
          "interval_attention: {}: expected [{}, m, H_kv, {}] as q {} has it, got {}", name, q.size(0),
          q.size(3), sizes_of(q), sizes_of(t));
}

AttentionInputs checked(const at::Tensor& q, const at::Tensor& k, const OptionalTensor& v,
                        std::string_view pattern, at::IntArrayRef pattern_parameters,
                        std::int64_t query_offset, std::int64_t key_offset,
                        const OptionalTensor& document_start, std::optional<double> scale, double dropout,
                        at::IntArrayRef dropout_key) {
  require(q.dim() == 4, "interval_attention: q: expected 4 dimensions [B, n, H, d_h], got {}", sizes_of(q));
  require(q.size(2) >= 1 && q.size(3) >= 1,
          "interval_attention: q: expected heads and a head width of at least 1, got {}", sizes_of(q));
  const at::ScalarType dtype = q.scalar_type();
  require(dtype == at::kFloat || dtype == at::kDouble || dtype == at::kBFloat16,
          "interval_attention: q: expected dtype float64, float32 or bfloat16, got {}", c10::toString(dtype));
  check_rows(q, k, "k");
  require(k.size(2) >= 1 && q.size(2) % k.size(2) == 0,
          "interval_attention: k: expected a number of heads that divides q's {}, got {}", q.size(2),
          k.size(2));
  if (v) {
    check_rows(q, *v, "v");
    require(v->sizes() == k.sizes(), "interval_attention: v: expected k's shape {}, got {}", sizes_of(k),
            sizes_of(*v));
  }
  require(query_offset >= 0, "interval_attention: query_offset: expected at least 0, got {}", query_offset);
  require(key_offset >= 0, "interval_attention: key_offset: expected at least 0, got {}", key_offset);
  require(!scale || std::isfinite(*scale), "interval_attention: scale: expected a finite number, got {}",
          scale.value_or(0));
  if (document_start) {
    require(document_start->scalar_type() == at::kInt && document_start->dim() == 2 &&
                document_start->size(0) == q.size(0) && document_start->size(1) == q.size(1),
            "interval_attention: document_start: expected int32 [{}, {}], got {} {}", q.size(0), q.size(1),
            c10::toString(document_start->scalar_type()), sizes_of(*document_start));
    require(document_start->device() == q.device(),
            "interval_attention: document_start: expected q's device {}, got {}", q.device().str(),
            document_start->device().str());
  }
  kernels::isa();  // chooses the vector kernels, or says why it can't
  AttentionInputs in{
      .q = walkable(q), .k = walkable(k), .pattern = Pattern::parse(pattern, pattern_parameters)};
  if (v) in.v = walkable(*v);
  in.query_offset = query_offset;
  in.key_offset = key_offset;
  if (document_start) in.document_start = document_start->contiguous();
  in.scale = scale.value_or(1 / std::sqrt(static_cast<double>(q.size(3))));
  in.dropout = dropout_key_of(dropout, dropout_key, q.size(0));
  return in;
}

Two forward_cpu(const at::Tensor& q, const at::Tensor& k, const OptionalTensor& v, std::string_view pattern,
                at::IntArrayRef pattern_parameters, std::int64_t query_offset, std::int64_t key_offset,
                const OptionalTensor& document_start, std::optional<double> scale, double dropout,
                at::IntArrayRef dropout_key) {
  const AttentionInputs in = checked(q, k, v, pattern, pattern_parameters, query_offset, key_offset,
                                     document_start, scale, dropout, dropout_key);
  return q.scalar_type() == at::kDouble ? attention_forward_reference(in) : attention_forward_cpu(in);
}

Two forward_meta(const at::Tensor& q, const at::Tensor& k, const OptionalTensor& v, std::string_view pattern,
                 at::IntArrayRef pattern_parameters, std::int64_t query_offset, std::int64_t key_offset,
                 const OptionalTensor& document_start, std::optional<double> scale, double dropout,
                 at::IntArrayRef dropout_key) {
  checked(q, k, v, pattern, pattern_parameters, query_offset, key_offset, document_start, scale, dropout,
          dropout_key);
  const auto sums = q.options().dtype(q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
  return {at::empty(q.sizes(), q.options()), at::empty({q.size(0), q.size(2), q.size(1)}, sums)};
}

Three backward_cpu(const at::Tensor& grad_out, const at::Tensor& q, const at::Tensor& k,
                   const OptionalTensor& v, const at::Tensor& out, const at::Tensor& log_sum_exp,
                   std::string_view pattern, at::IntArrayRef pattern_parameters, std::int64_t query_offset,
                   std::int64_t key_offset, const OptionalTensor& document_start, std::optional<double> scale,
                   double dropout, at::IntArrayRef dropout_key) {
  const AttentionInputs in = checked(q, k, v, pattern, pattern_parameters, query_offset, key_offset,
                                     document_start, scale, dropout, dropout_key);
  require(grad_out.sizes() == q.sizes() && out.sizes() == q.sizes() &&
              grad_out.scalar_type() == q.scalar_type() && out.scalar_type() == q.scalar_type(),
          "interval_attention_backward: expected grad_out and out of q's shape {} and dtype, got {} and {}",
          sizes_of(q), sizes_of(grad_out), sizes_of(out));
  require(log_sum_exp.sizes() == at::IntArrayRef({q.size(0), q.size(2), q.size(1)}) &&
              log_sum_exp.scalar_type() == (q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat),
          "interval_attention_backward: log_sum_exp: expected [{}, {}, {}] in the computing dtype, got {}",
          q.size(0), q.size(2), q.size(1), sizes_of(log_sum_exp));
  const auto backward =
      q.scalar_type() == at::kDouble ? attention_backward_reference : attention_backward_cpu;
  return backward(in, walkable(grad_out), walkable(out), log_sum_exp.contiguous());
}

Three backward_meta(const at::Tensor&, const at::Tensor& q, const at::Tensor& k, const OptionalTensor& v,
                    const at::Tensor&, const at::Tensor&, std::string_view, at::IntArrayRef, std::int64_t,
                    std::int64_t, const OptionalTensor&, std::optional<double>, double, at::IntArrayRef) {
  return {at::empty(q.sizes(), q.options()), at::empty(k.sizes(), k.options()),
          v ? at::empty(v->sizes(), v->options()) : at::Tensor()};
}

class AttentionFunction : public torch::autograd::Function<AttentionFunction> {
 public:
  static torch::autograd::variable_list forward(
      torch::autograd::AutogradContext* context, const at::Tensor& q, const at::Tensor& k,
      const OptionalTensor& v, std::string pattern, std::vector<std::int64_t> pattern_parameters,
      std::int64_t query_offset, std::int64_t key_offset, const OptionalTensor& document_start,
      std::optional<double> scale, double dropout, std::vector<std::int64_t> dropout_key) {
    at::AutoDispatchBelowADInplaceOrView below;
    auto [out, log_sum_exp] =
        forward_operator().call(q, k, v, pattern, pattern_parameters, query_offset, key_offset,
                                document_start, scale, dropout, dropout_key);
    context->mark_non_differentiable({log_sum_exp});
    context->set_materialize_grads(false);
    context->save_for_backward(
        {q, k, v.value_or(at::Tensor()), out, log_sum_exp, document_start.value_or(at::Tensor())});
    context->saved_data["pattern"] = std::move(pattern);
    context->saved_data["pattern_parameters"] = std::move(pattern_parameters);
    context->saved_data["offsets"] = std::vector<std::int64_t>{query_offset, key_offset};
    context->saved_data["scale"] = scale;
    context->saved_data["dropout"] = dropout;
    context->saved_data["dropout_key"] = std::move(dropout_key);
    return {out, log_sum_exp};
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    torch::autograd::variable_list results(11);
    if (!grads[0].defined()) return results;
    const auto saved = context->get_saved_variables();
    const auto optional = [](const at::Tensor& t) { return t.defined() ? OptionalTensor(t) : std::nullopt; };
    auto& data = context->saved_data;
    const auto offsets = data["offsets"].toIntVector();
    const std::string pattern = data["pattern"].toStringRef();
    auto [dq, dk, dv] = backward_operator().call(
        grads[0], saved[0], saved[1], optional(saved[2]), saved[3], saved[4], pattern,
        data["pattern_parameters"].toIntVector(), offsets[0], offsets[1], optional(saved[5]),
        data["scale"].toOptional<double>(), data["dropout"].toDouble(), data["dropout_key"].toIntVector());
    results[0] = dq;
    results[1] = dk;
    results[2] = dv;
    return results;
  }
};

Two forward_autograd(const at::Tensor& q, const at::Tensor& k, const OptionalTensor& v,
                     std::string_view pattern, at::IntArrayRef pattern_parameters, std::int64_t query_offset,
                     std::int64_t key_offset, const OptionalTensor& document_start,
                     std::optional<double> scale, double dropout, at::IntArrayRef dropout_key) {
  const auto results =
      AttentionFunction::apply(q, k, v, std::string(pattern), pattern_parameters.vec(), query_offset,
                               key_offset, document_start, scale, dropout, dropout_key.vec());
  return {results[0], results[1]};
}

Two forward_autocast(const at::Tensor& q, const at::Tensor& k, const OptionalTensor& v,
                     std::string_view pattern, at::IntArrayRef pattern_parameters, std::int64_t query_offset,
                     std::int64_t key_offset, const OptionalTensor& document_start,
                     std::optional<double> scale, double dropout, at::IntArrayRef dropout_key) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::DispatchKey::AutocastCPU);
  const at::ScalarType wanted = at::autocast::get_autocast_dtype(at::kCPU);
  const at::ScalarType to = wanted == at::kBFloat16 ? wanted : at::kFloat;  // there is no float16 on the CPU
  const auto cast = [&](const at::Tensor& t) { return at::autocast::cached_cast(to, t, at::kCPU); };
  return forward_operator().call(cast(q), cast(k), v ? OptionalTensor(cast(*v)) : std::nullopt, pattern,
                                 pattern_parameters, query_offset, key_offset, document_start, scale, dropout,
                                 dropout_key);
}

}  // namespace

AttentionResult interval_attention(const at::Tensor& q_BNHD, const at::Tensor& k_BMHD,
                                   const std::optional<at::Tensor>& v_BMHD, const Pattern& pattern,
                                   const AttentionOptions& options) {
  const std::vector<std::int64_t> parameters = pattern.parameters();
  std::vector<std::int64_t> key;
  const DropoutKey& dropout = options.dropout;
  if (dropout.probability > 0) {
    key = {static_cast<std::int64_t>(dropout.seed), dropout.step, dropout.layer};
    key.insert(key.end(), dropout.samples.begin(), dropout.samples.end());
  }
  auto [out, log_sum_exp] = forward_operator().call(
      q_BNHD, k_BMHD, v_BMHD, pattern.kind_name(), parameters, options.query_offset, options.key_offset,
      options.document_start, options.scale, dropout.probability, key);
  return {std::move(out), std::move(log_sum_exp)};
}

}  // namespace ecp::ops

TORCH_LIBRARY(ecp, m) {
  m.def(
      "interval_attention(Tensor q, Tensor k, Tensor? v, str pattern, int[] pattern_parameters, int "
      "query_offset=0, "
      "int key_offset=0, Tensor? document_start=None, float? scale=None, float dropout=0., int[] "
      "dropout_key=[]) -> "
      "(Tensor out, Tensor log_sum_exp)");
  m.def(
      "interval_attention_backward(Tensor grad_out, Tensor q, Tensor k, Tensor? v, Tensor out, Tensor "
      "log_sum_exp, "
      "str pattern, int[] pattern_parameters, int query_offset=0, int key_offset=0, Tensor? "
      "document_start=None, "
      "float? scale=None, float dropout=0., int[] dropout_key=[]) -> (Tensor, Tensor, Tensor)");
}
TORCH_LIBRARY_IMPL(ecp, CPU, m) {
  m.impl("interval_attention", &ecp::ops::forward_cpu);
  m.impl("interval_attention_backward", &ecp::ops::backward_cpu);
}
TORCH_LIBRARY_IMPL(ecp, Meta, m) {
  m.impl("interval_attention", &ecp::ops::forward_meta);
  m.impl("interval_attention_backward", &ecp::ops::backward_meta);
}
TORCH_LIBRARY_IMPL(ecp, Autograd, m) {
  m.impl("interval_attention", &ecp::ops::forward_autograd);
  m.impl("interval_attention_backward", torch::autograd::autogradNotImplementedFallback());
}
TORCH_LIBRARY_IMPL(ecp, AutocastCPU, m) { m.impl("interval_attention", &ecp::ops::forward_autocast); }
