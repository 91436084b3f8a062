// Interval attention for Python's PyTorch: two operators without state on the CPU, against LibTorch's stable
// ABI, so that one library serves every PyTorch from 2.11 on. Autograd and shapes are registered in
// python/ecp/attention.py. Their names differ from those of libecp_ops.so, which may be loaded beside it.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <exception>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/kernels/interval_attention_reference.h"
#include "ecp/ops/attention_inputs.h"

namespace ecp::python {
namespace {

using torch::stable::Tensor;
using OptionalTensor = std::optional<Tensor>;
using Inputs = ops::AttentionInputs<Tensor>;

Tensor compact(const Tensor& t) { return torch::stable::contiguous(t); }
Tensor rows_of(const Tensor& t) { return ops::walkable(t) ? t : compact(t); }
bool wide(const Tensor& t) { return t.scalar_type() == ops::ScalarType::Double; }

std::vector<std::int64_t> integers_of(const OptionalTensor& t) {
  if (!t) return {};
  require(t->dim() == 1 && t->scalar_type() == ops::ScalarType::Long && t->is_cpu(),
          "interval_attention: dropout_key: expected int64 [3 + B] on the CPU, got {} {}",
          torch::headeronly::toString(t->scalar_type()), ops::sizes_of(*t));
  const Tensor whole = compact(*t);
  const auto* first = static_cast<const std::int64_t*>(whole.data_ptr());
  return {first, first + whole.numel()};
}

Inputs checked(const Tensor& q, const Tensor& k, const OptionalTensor& v, const std::string& pattern,
               const std::vector<std::int64_t>& pattern_parameters, std::int64_t query_offset,
               std::int64_t key_offset, const OptionalTensor& document_start, std::optional<double> scale,
               double dropout, const OptionalTensor& dropout_key) {
  const std::vector<std::int64_t> key = integers_of(dropout_key);
  const ops::AttentionArguments<Tensor> arguments{
      q, k, v, pattern, pattern_parameters, query_offset, key_offset, document_start, scale, dropout, key};
  return ops::checked(arguments, compact);
}

/// On PyTorch's threads, as many as torch.set_num_threads says. An exception (there is no memory) must not
/// leave a task: the first one is thrown here.
template <class Function>
void parallel(std::int64_t tasks, const Function& function) {
  std::exception_ptr error;
  std::mutex lock;
  torch::stable::parallel_for(0, tasks, 1, [&](std::int64_t begin, std::int64_t end) {
    try {
      function(begin, end);
    } catch (...) {
      const std::scoped_lock one(lock);
      if (!error) error = std::current_exception();
    }
  });
  if (error) std::rethrow_exception(error);
}

std::tuple<Tensor, Tensor> forward(const Tensor& q, const Tensor& k, const OptionalTensor& v,
                                   const std::string& pattern,
                                   const std::vector<std::int64_t>& pattern_parameters,
                                   std::int64_t query_offset, std::int64_t key_offset,
                                   const OptionalTensor& document_start, std::optional<double> scale,
                                   double dropout, const OptionalTensor& dropout_key) {
  const Inputs in = checked(q, k, v, pattern, pattern_parameters, query_offset, key_offset, document_start,
                            scale, dropout, dropout_key);
  const kernels::IntervalAttention problem = ops::problem_of(in);
  const Tensor out = torch::stable::new_empty(q, q.sizes());
  const std::vector<std::int64_t> shape{q.size(0), q.size(2), q.size(1)};
  const Tensor sums =
      torch::stable::new_empty(q, shape, wide(q) ? ops::ScalarType::Double : ops::ScalarType::Float);
  if (wide(q)) {
    const kernels::ReferenceForward results{ops::writable(out), static_cast<double*>(sums.data_ptr())};
    parallel(kernels::reference_forward_tasks(problem), [&](std::int64_t begin, std::int64_t end) {
      kernels::reference_forward({problem, in.scale}, results, begin, end);
    });
  } else {
    const kernels::AttentionForward results{ops::writable(out), static_cast<float*>(sums.data_ptr())};
    parallel(kernels::forward_tasks(problem),
             [&](std::int64_t begin, std::int64_t end) { kernels::forward(problem, results, begin, end); });
  }
  return {out, sums};
}

/// Gradients of q, k and v; of no v an empty tensor, as k's holds both.
std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& grad_out, const Tensor& q, const Tensor& k,
                                            const OptionalTensor& v, const Tensor& out, const Tensor& sums,
                                            const std::string& pattern,
                                            const std::vector<std::int64_t>& pattern_parameters,
                                            std::int64_t query_offset, std::int64_t key_offset,
                                            const OptionalTensor& document_start, std::optional<double> scale,
                                            double dropout, const OptionalTensor& dropout_key) {
  const Inputs in = checked(q, k, v, pattern, pattern_parameters, query_offset, key_offset, document_start,
                            scale, dropout, dropout_key);
  ops::check_backward(q, grad_out, out, sums);
  const kernels::IntervalAttention problem = ops::problem_of(in);
  const Tensor grad_rows = rows_of(grad_out), out_rows = rows_of(out), all_sums = compact(sums);
  // The reference adds to its gradients of keys, the kernels write them once.
  const auto like = [&](const Tensor& t) {
    return wide(q) ? torch::stable::new_zeros(t, t.sizes()) : torch::stable::new_empty(t, t.sizes());
  };
  const Tensor grad_q = torch::stable::new_empty(q, q.sizes());
  const Tensor grad_k = like(k);
  const Tensor grad_v = v ? like(*v) : torch::stable::new_empty(k, std::vector<std::int64_t>{0});
  const auto fill = [&](auto gradients) {
    gradients.grad_out = ops::readable(grad_rows);
    gradients.out = ops::readable(out_rows);
    gradients.log_sum_exp = static_cast<decltype(gradients.log_sum_exp)>(all_sums.data_ptr());
    gradients.grad_q = ops::writable(grad_q);
    gradients.grad_k = ops::writable(grad_k);
    if (v) gradients.grad_v = ops::writable(grad_v);
    return gradients;
  };
  if (wide(q)) {
    const auto gradients = fill(kernels::ReferenceBackward{});
    parallel(kernels::reference_backward_tasks(problem), [&](std::int64_t begin, std::int64_t end) {
      kernels::reference_backward({problem, in.scale}, gradients, begin, end);
    });
  } else {
    const auto gradients = fill(kernels::AttentionBackward{});
    parallel(kernels::backward_tasks(problem), [&](std::int64_t begin, std::int64_t end) {
      kernels::backward(problem, gradients, begin, end);
    });
  }
  return {grad_q, grad_k, grad_v};
}

}  // namespace
}  // namespace ecp::python

STABLE_TORCH_LIBRARY(ecp_python, m) {
  m.def(
      "interval_attention(Tensor q, Tensor k, Tensor? v, str pattern, int[] pattern_parameters, int "
      "query_offset=0, int key_offset=0, Tensor? document_start=None, float? scale=None, float dropout=0., "
      "Tensor? dropout_key=None) -> (Tensor out, Tensor log_sum_exp)");
  m.def(
      "interval_attention_backward(Tensor grad_out, Tensor q, Tensor k, Tensor? v, Tensor out, Tensor "
      "log_sum_exp, str pattern, int[] pattern_parameters, int query_offset=0, int key_offset=0, Tensor? "
      "document_start=None, float? scale=None, float dropout=0., Tensor? dropout_key=None) -> (Tensor, "
      "Tensor, Tensor)");
}
STABLE_TORCH_LIBRARY_IMPL(ecp_python, CPU, m) {
  m.impl("interval_attention", TORCH_BOX(&ecp::python::forward));
  m.impl("interval_attention_backward", TORCH_BOX(&ecp::python::backward));
}
