#include "ecp/ops/interval_attention_cpu.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include "ecp/kernels/dropout.h"
#include "ecp/kernels/interval_attention.h"

namespace ecp::ops {
namespace {

template <class Rows>
Rows rows_of(const at::Tensor& t) {
  return {t.data_ptr(), t.stride(0), t.stride(1), t.stride(2)};
}
kernels::ReadRows readable(const at::Tensor& t) { return rows_of<kernels::ReadRows>(t); }
kernels::WriteRows writable(const at::Tensor& t) { return rows_of<kernels::WriteRows>(t); }

kernels::AttentionDropout dropout_of(const DropoutKey& key, std::int64_t heads) {
  kernels::AttentionDropout dropout;
  dropout.threshold = kernels::dropout_threshold(key.probability);
  if (dropout.threshold == 0) return dropout;
  dropout.kept = static_cast<float>(1 / kernels::kept_share(key.probability));
  for (const std::int64_t sample : key.samples) {
    for (std::int64_t head = 0; head < heads; ++head) {
      dropout.streams.push_back(kernels::dropout_stream(key.seed, key.step, sample, key.layer,
                                                        kernels::DropoutSite::attention, head));
    }
  }
  return dropout;
}

kernels::IntervalAttention problem_of(const AttentionInputs& in) {
  kernels::IntervalAttention problem;
  problem.element = in.q.scalar_type() == at::kFloat ? kernels::Element::float32 : kernels::Element::bfloat16;
  problem.batch = in.q.size(0);
  problem.rows = in.q.size(1);
  problem.keys = in.k.size(1);
  problem.heads = in.q.size(2);
  problem.kv_heads = in.k.size(2);
  problem.width = in.q.size(3);
  problem.q = readable(in.q);
  problem.k = readable(in.k);
  if (in.v) problem.v = readable(*in.v);
  problem.pattern = in.pattern;
  problem.query_offset = in.query_offset;
  problem.key_offset = in.key_offset;
  if (in.document_start) problem.document_start = in.document_start->const_data_ptr<std::int32_t>();
  problem.scale = static_cast<float>(in.scale);
  problem.dropout = dropout_of(in.dropout, problem.heads);
  return problem;
}

}  // namespace

AttentionOutputs attention_forward_cpu(const AttentionInputs& in) {
  const kernels::IntervalAttention problem = problem_of(in);
  at::Tensor out = at::empty(in.q.sizes(), in.q.options());
  at::Tensor log_sum_exp =
      at::empty({in.q.size(0), in.q.size(2), in.q.size(1)}, in.q.options().dtype(at::kFloat));
  const kernels::AttentionForward results{writable(out), log_sum_exp.mutable_data_ptr<float>()};
  at::parallel_for(0, kernels::forward_tasks(problem), 1, [&](std::int64_t begin, std::int64_t end) {
    kernels::forward(problem, results, begin, end);
  });
  return {out, log_sum_exp};
}

AttentionGrads attention_backward_cpu(const AttentionInputs& in, const at::Tensor& grad_out,
                                      const at::Tensor& out, const at::Tensor& log_sum_exp) {
  const kernels::IntervalAttention problem = problem_of(in);
  at::Tensor grad_q = at::empty(in.q.sizes(), in.q.options());
  at::Tensor grad_k = at::empty(in.k.sizes(), in.k.options());
  at::Tensor grad_v = in.v ? at::empty(in.v->sizes(), in.v->options()) : at::Tensor();
  kernels::AttentionBackward gradients;
  gradients.grad_out = readable(grad_out);
  gradients.out = readable(out);
  gradients.log_sum_exp = log_sum_exp.const_data_ptr<float>();
  gradients.grad_q = writable(grad_q);
  gradients.grad_k = writable(grad_k);
  if (grad_v.defined()) gradients.grad_v = writable(grad_v);
  at::parallel_for(0, kernels::backward_tasks(problem), 1, [&](std::int64_t begin, std::int64_t end) {
    kernels::backward(problem, gradients, begin, end);
  });
  return {grad_q, grad_k, grad_v};
}

}  // namespace ecp::ops
