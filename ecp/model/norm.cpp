#include "ecp/model/norm.h"

#include <torch/torch.h>

#include <cmath>
#include <vector>

#include "ecp/model/row_kernels.h"
#include "ecp/model/rows.h"

namespace ecp {
namespace {

constexpr std::int64_t rows_per_task =
    64;  // fixed, so that sums over rows don't depend on the number of threads

class RmsNorm : public torch::autograd::Function<RmsNorm> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& weight, double eps, at::ScalarType dtype) {
    const at::Tensor x = input.contiguous();
    const std::int64_t width = weight.numel(), rows = x.numel() / width;
    at::Tensor out = at::empty(x.sizes(), x.options().dtype(dtype));
    at::Tensor scales = at::empty({rows}, x.options().dtype(at::kFloat));
    const FloatRows from(x, width), to(out, width);
    const float* w = weight.const_data_ptr<float>();
    float* r = scales.mutable_data_ptr<float>();
    at::parallel_for(0, rows, rows_per_task, [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> read, written;
      for (std::int64_t i = begin; i < end; ++i) {
        const float* row = from.read(i, read);
        const double mean = static_cast<double>(row_square_sum(row, width)) / static_cast<double>(width);
        r[i] = static_cast<float>(1 / std::sqrt(mean + eps));
        row_scale_by(row, r[i], w, to.begin(i, written), width);
        to.written(i, written);
      }
    });
    context->save_for_backward({x, weight, scales});
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1];
    const at::Tensor grad = grads[0].contiguous();
    const std::int64_t width = weight.numel(), rows = x.numel() / width;
    const std::int64_t tasks = (rows + rows_per_task - 1) / rows_per_task;
    at::Tensor grad_x = at::empty(x.sizes(), x.options());
    at::Tensor partial = at::zeros({tasks, width}, weight.options());
    const FloatRows x_rows(x, width), grad_rows(grad, width), to(grad_x, width);
    const float* w = weight.const_data_ptr<float>();
    const float* r = saved[2].const_data_ptr<float>();
    at::parallel_for(0, tasks, 1, [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> read_x, read_grad, written;
      for (std::int64_t task = begin; task < end; ++task) {
        float* dw = partial.mutable_data_ptr<float>() + task * width;
        for (std::int64_t i = task * rows_per_task; i < std::min(rows, (task + 1) * rows_per_task); ++i) {
          row_rms_backward(x_rows.read(i, read_x), grad_rows.read(i, read_grad), w, r[i],
                           to.begin(i, written), dw, width);
          to.written(i, written);
        }
      }
    });
    return {grad_x, partial.sum(0), {}, {}};
  }
};

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps,
                    std::optional<at::ScalarType> dtype) {
  return RmsNorm::apply(x, weight, eps, dtype.value_or(x.scalar_type()));
}

at::Tensor Norm::operator()(const at::Tensor& x, bool bfloat16) const {
  const at::ScalarType dtype = bfloat16 ? at::kBFloat16 : x.scalar_type();
  if (!bias_.defined()) return rms_norm(x, weight_, eps_, dtype);
  return at::layer_norm(x, weight_.sizes(), weight_, bias_, eps_).to(dtype);
}

}  // namespace ecp
