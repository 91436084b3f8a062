#include "ecp/ops/interval_attention_cpu.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "ecp/kernels/interval_attention_reference.h"
#include "ecp/ops/blas.h"

namespace ecp::ops {
namespace {

kernels::ReferenceAttention reference_of(const kernels::IntervalAttention& problem, double scale) {
  return {problem, scale, gemm};
}

template <class Function>
void parallel(std::int64_t tasks, const Function& function) {
  at::parallel_for(0, tasks, 1, function);
}

}  // namespace

AttentionOutputs attention_forward_cpu(const AttentionInputs<at::Tensor>& in) {
  const kernels::IntervalAttention problem = problem_of(in);
  const bool wide = in.q.scalar_type() == at::kDouble;
  at::Tensor out = at::empty(in.q.sizes(), in.q.options());
  at::Tensor log_sum_exp = at::empty({in.q.size(0), in.q.size(2), in.q.size(1)},
                                     in.q.options().dtype(wide ? at::kDouble : at::kFloat));
  if (wide) {
    const kernels::ReferenceForward results{writable(out), log_sum_exp.mutable_data_ptr<double>()};
    parallel(kernels::reference_forward_tasks(problem), [&](std::int64_t begin, std::int64_t end) {
      kernels::reference_forward(reference_of(problem, in.scale), results, begin, end);
    });
    return {out, log_sum_exp};
  }
  const kernels::AttentionForward results{writable(out), log_sum_exp.mutable_data_ptr<float>()};
  parallel(kernels::forward_tasks(problem),
           [&](std::int64_t begin, std::int64_t end) { kernels::forward(problem, results, begin, end); });
  return {out, log_sum_exp};
}

AttentionGrads attention_backward_cpu(const AttentionInputs<at::Tensor>& in, const at::Tensor& grad_out,
                                      const at::Tensor& out, const at::Tensor& log_sum_exp) {
  const kernels::IntervalAttention problem = problem_of(in);
  const bool wide = in.q.scalar_type() == at::kDouble;
  // The reference adds to its gradients of keys, the kernels write them once.
  const auto like = [&](const at::Tensor& t) {
    return wide ? at::zeros(t.sizes(), t.options()) : at::empty(t.sizes(), t.options());
  };
  at::Tensor grad_q = at::empty(in.q.sizes(), in.q.options());
  at::Tensor grad_k = like(in.k);
  at::Tensor grad_v = in.v ? like(*in.v) : at::Tensor();
  const auto fill = [&](auto gradients, auto* sums) {
    gradients.grad_out = readable(grad_out);
    gradients.out = readable(out);
    gradients.log_sum_exp = sums;
    gradients.grad_q = writable(grad_q);
    gradients.grad_k = writable(grad_k);
    if (grad_v.defined()) gradients.grad_v = writable(grad_v);
    return gradients;
  };
  if (wide) {
    const auto gradients = fill(kernels::ReferenceBackward{}, log_sum_exp.const_data_ptr<double>());
    parallel(kernels::reference_backward_tasks(problem), [&](std::int64_t begin, std::int64_t end) {
      kernels::reference_backward(reference_of(problem, in.scale), gradients, begin, end);
    });
    return {grad_q, grad_k, grad_v};
  }
  const auto gradients = fill(kernels::AttentionBackward{}, log_sum_exp.const_data_ptr<float>());
  parallel(kernels::backward_tasks(problem),
           [&](std::int64_t begin, std::int64_t end) { kernels::backward(problem, gradients, begin, end); });
  return {grad_q, grad_k, grad_v};
}

}  // namespace ecp::ops
