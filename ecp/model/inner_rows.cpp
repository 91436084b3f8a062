#include "ecp/model/inner_rows.h"

#include <torch/torch.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "ecp/kernels/activation.h"
#include "ecp/model/row_kernels.h"
#include "ecp/model/rows.h"

namespace ecp {
namespace {

constexpr std::int64_t rows_per_task = 32;  // fixed, so that sums don't depend on the number of threads

/// Sums of rows, one for each task.
class TaskSums {
 public:
  /// Keeps nothing if `total` is undefined.
  TaskSums(at::Tensor total, std::int64_t tasks, std::int64_t width)
      : total_(std::move(total)), width_(width) {
    if (total_.defined()) sums_ = at::zeros({tasks, width}, at::kFloat);
  }
  void add(std::int64_t task, const float* row) const {
    if (!sums_.defined()) return;
    float* sum = sums_.mutable_data_ptr<float>() + task * width_;
    row_add(sum, row, sum, width_);
  }
  void finish() const {
    if (total_.defined()) total_.add_(sums_.sum(0));
  }

 private:
  at::Tensor total_, sums_;
  std::int64_t width_;
};

}  // namespace

InnerRows::InnerRows(const ops::DropoutKey& dropout, std::int64_t window, std::int64_t width)
    : key_(dropout),
      window_(window),
      width_(width),
      threshold_(kernels::dropout_threshold(dropout.probability)) {
  if (threshold_ > 0) kept_ = static_cast<float>(1 / kernels::kept_share(dropout.probability));
}

/// The factors of row `row` of the batch, or null without dropout.
const float* InnerRows::dropout_factors(std::int64_t row, std::vector<float>& scratch) const {
  if (threshold_ == 0) return nullptr;
  scratch.resize(static_cast<std::size_t>(width_ + 256));
  const auto sample = key_.samples[static_cast<std::size_t>(row / window_)];
  const auto stream = kernels::dropout_stream(key_.seed, key_.step, sample, key_.layer,
                                              kernels::DropoutSite::feed_forward, 0);
  return kernels::dropout_row(stream, row % window_, 0, width_, threshold_, kept_, scratch.data());
}

void InnerRows::forward(const PreActivations& pre, std::int64_t first, const at::Tensor& out) const {
  const bool gated = pre.gate.defined();
  const FloatRows ups(pre.up, width_), gates(gated ? pre.gate : pre.up, width_);
  const FloatRows to(out, width_);
  at::parallel_for(0, out.size(0), rows_per_task, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> up, gate, written, factors;
    for (std::int64_t i = begin; i < end; ++i) {
      const float* u = ups.read(i, up);
      float* row = to.begin(i, written);
      gated ? kernels::silu_times(gates.read(i, gate), u, row, width_) : kernels::gelu(u, row, width_);
      if (const float* f = dropout_factors(first + i, factors)) row_scale_by(row, 1.0f, f, row, width_);
      to.written(i, written);
    }
  });
}

void InnerRows::backward(const PreActivations& pre, std::int64_t first, const at::Tensor& out,
                         const PreActivations& grads, const PreActivations& sums) const {
  const std::int64_t rows = out.size(0), tasks = (rows + rows_per_task - 1) / rows_per_task;
  const bool gated = pre.gate.defined();
  const FloatRows ups(pre.up, width_), gates(gated ? pre.gate : pre.up, width_);
  const FloatRows to(out, width_), to_up(grads.up, width_), to_gate(gated ? grads.gate : grads.up, width_);
  const TaskSums up_sums(sums.up, tasks, width_), gate_sums(sums.gate, tasks, width_);
  at::parallel_for(0, tasks, 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> up, gate, written, written_up, written_gate, factors;
    for (std::int64_t task = begin; task < end; ++task) {
      for (std::int64_t i = task * rows_per_task; i < std::min(rows, (task + 1) * rows_per_task); ++i) {
        const float* u = ups.read(i, up);
        float* row = to.begin(i, written);
        to_up.read(i, written_up);  // into the buffer, or nothing where the row is used in place
        float* du = to_up.begin(i, written_up);
        const float* f = dropout_factors(first + i, factors);
        if (f != nullptr) row_scale_by(du, 1.0f, f, du, width_);
        if (gated) {
          float* dg = to_gate.begin(i, written_gate);
          kernels::silu_times_backward(gates.read(i, gate), u, du, row, dg, du, width_);
          gate_sums.add(task, dg);
          to_gate.written(i, written_gate);
        } else {
          kernels::gelu_backward(u, du, row, du, width_);
        }
        up_sums.add(task, du);
        to_up.written(i, written_up);
        if (f != nullptr) row_scale_by(row, 1.0f, f, row, width_);
        to.written(i, written);
      }
    }
  });
  up_sums.finish();
  gate_sums.finish();
}

}  // namespace ecp
