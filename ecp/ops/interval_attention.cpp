#include "ecp/ops/interval_attention.h"

#include <ATen/autocast_mode.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <string>
#include <tuple>

#include "ecp/ops/attention_inputs.h"
#include "ecp/ops/interval_attention_cpu.h"

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

AttentionInputs<at::Tensor> checked(const at::Tensor& q, const at::Tensor& k, const OptionalTensor& v,
                                    std::string_view pattern, at::IntArrayRef pattern_parameters,
                                    std::int64_t query_offset, std::int64_t key_offset,
                                    const OptionalTensor& document_start, std::optional<double> scale,
                                    double dropout, at::IntArrayRef dropout_key) {
  const AttentionArguments<at::Tensor> arguments{q,
                                                 k,
                                                 v,
                                                 pattern,
                                                 {pattern_parameters.data(), pattern_parameters.size()},
                                                 query_offset,
                                                 key_offset,
                                                 document_start,
                                                 scale,
                                                 dropout,
                                                 {dropout_key.data(), dropout_key.size()}};
  return checked(arguments, [](const at::Tensor& t) { return t.contiguous(); });
}

at::Tensor rows_of(const at::Tensor& t) { return walkable(t) ? t : t.contiguous(); }

Two forward_cpu(const at::Tensor& q, const at::Tensor& k, const OptionalTensor& v, std::string_view pattern,
                at::IntArrayRef pattern_parameters, std::int64_t query_offset, std::int64_t key_offset,
                const OptionalTensor& document_start, std::optional<double> scale, double dropout,
                at::IntArrayRef dropout_key) {
  return attention_forward_cpu(checked(q, k, v, pattern, pattern_parameters, query_offset, key_offset,
                                       document_start, scale, dropout, dropout_key));
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
  const AttentionInputs<at::Tensor> in = checked(q, k, v, pattern, pattern_parameters, query_offset,
                                                 key_offset, document_start, scale, dropout, dropout_key);
  check_backward(q, grad_out, out, log_sum_exp);
  return attention_backward_cpu(in, rows_of(grad_out), rows_of(out), log_sum_exp.contiguous());
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
