#include "ecp/model/norm.h"

#include <torch/torch.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "ecp/kernels/norm.h"
#include "ecp/model/row_kernels.h"
#include "ecp/model/rows.h"

namespace ecp {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr std::int64_t rows_per_task =
    64;  // fixed, so that sums over rows don't depend on the number of threads

/// LayerNorm, or RMSNorm without a bias, of x or of x + added, which then is a result as well: one pass over
/// the rows in each direction.
class NormFunction : public torch::autograd::Function<NormFunction> {
 public:
  using Optional = std::optional<at::Tensor>;

  /// {normed} or {normed, sum}.
  static variable_list forward(AutogradContext* context, const at::Tensor& input, const Optional& added,
                               const at::Tensor& weight, const Optional& bias, double eps,
                               at::ScalarType dtype) {
    const at::Tensor x = input.contiguous(), y = added ? added->contiguous() : x;
    const at::Tensor sum = added ? at::empty(x.sizes(), x.options()) : x;
    const std::int64_t width = weight.numel(), rows = x.numel() / width;
    const at::Tensor normed = at::empty(x.sizes(), x.options().dtype(dtype));
    const at::Tensor centers = at::zeros({rows}, at::kFloat), scales = at::empty({rows}, at::kFloat);
    const FloatRows x_rows(x, width), y_rows(y, width), sum_rows(sum, width), to(normed, width);
    kernels::Norm all{.weight = weight.const_data_ptr<float>(), .rows = 1, .width = width};
    all.bias = bias ? bias->const_data_ptr<float>() : nullptr;
    all.eps = static_cast<float>(eps);
    at::parallel_for(0, rows, rows_per_task, [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> read_x, read_y, summed, written;
      kernels::Norm row = all;
      for (std::int64_t i = begin; i < end; ++i) {
        row.x = x_rows.read(i, read_x);
        if (added) {
          float* const s = sum_rows.begin(i, summed);
          row_add(row.x, y_rows.read(i, read_y), s, width);
          sum_rows.written(i, summed);
          row.x = s;
        }
        row.y = to.begin(i, written);
        row.centers = centers.mutable_data_ptr<float>() + i;
        row.scales = scales.mutable_data_ptr<float>() + i;
        row.bias != nullptr ? kernels::layer_norm(row) : kernels::rms_norm(row);
        to.written(i, written);
      }
    });
    context->set_materialize_grads(false);
    context->save_for_backward({sum, weight, centers, scales});
    context->saved_data["bias"] = bias.has_value();
    if (!added) return {normed};
    context->saved_data["added"] = added->scalar_type();
    return {normed, sum};
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1];
    const auto& data = context->saved_data;
    const bool bias = data.at("bias").toBool(), added = data.count("added") > 0;
    const at::Tensor sum_grad = added && grads[1].defined() ? grads[1].contiguous() : at::Tensor();
    const auto of_added = [&](const at::Tensor& grad) {
      return grad.defined() ? grad.to(data.at("added").toScalarType()) : at::Tensor();
    };
    if (!grads[0].defined()) return {sum_grad, of_added(sum_grad), {}, {}, {}, {}};
    const at::Tensor grad = grads[0].contiguous();
    const std::int64_t width = weight.numel(), rows = x.numel() / width;
    const std::int64_t tasks = (rows + rows_per_task - 1) / rows_per_task;
    const at::Tensor x_grad = at::empty(x.sizes(), x.options());
    const bool other_dtype = added && data.at("added").toScalarType() != x.scalar_type();
    const at::Tensor added_grad =
        other_dtype ? at::empty(x.sizes(), x.options().dtype(data.at("added").toScalarType())) : x_grad;
    const at::Tensor of_weight = at::zeros({tasks, width}, weight.options());
    const at::Tensor of_bias = bias ? at::zeros({tasks, width}, weight.options()) : at::Tensor();
    const FloatRows x_rows(x, width), grad_rows(grad, width), to(x_grad, width), to_added(added_grad, width),
        sum_grad_rows(sum_grad.defined() ? sum_grad : grad, width);
    const float* w = weight.const_data_ptr<float>();
    const float *centers = saved[2].const_data_ptr<float>(), *scales = saved[3].const_data_ptr<float>();
    at::parallel_for(0, tasks, 1, [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> read_x, read_grad, read_sum_grad, written;
      for (std::int64_t task = begin; task < end; ++task) {
        float* dw = of_weight.mutable_data_ptr<float>() + task * width;
        float* db = bias ? of_bias.mutable_data_ptr<float>() + task * width : nullptr;
        for (std::int64_t i = task * rows_per_task; i < std::min(rows, (task + 1) * rows_per_task); ++i) {
          float* const dx = to.begin(i, written);
          row_norm_backward({x_rows.read(i, read_x), w, centers[i], scales[i]}, grad_rows.read(i, read_grad),
                            dx, dw, db, width);
          if (sum_grad.defined()) row_add(dx, sum_grad_rows.read(i, read_sum_grad), dx, width);
          to.written(i, written);
          if (other_dtype) to_added.write(i, dx);
        }
      }
    });
    return {
        x_grad, added ? added_grad : at::Tensor(), of_weight.sum(0), bias ? of_bias.sum(0) : at::Tensor(), {},
        {}};
  }
};

}  // namespace

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps,
                      std::optional<at::ScalarType> dtype) {
  return NormFunction::apply(x, std::nullopt, weight, if_defined(bias), eps,
                             dtype.value_or(x.scalar_type()))[0];
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps,
                    std::optional<at::ScalarType> dtype) {
  return layer_norm(x, weight, {}, eps, dtype);
}

NormedSum layer_norm(const Sum& x, const at::Tensor& weight, const at::Tensor& bias, double eps,
                     std::optional<at::ScalarType> dtype) {
  if (!x.added.defined()) return {x.x, layer_norm(x.x, weight, bias, eps, dtype)};
  auto results =
      NormFunction::apply(x.x, x.added, weight, if_defined(bias), eps, dtype.value_or(x.x.scalar_type()));
  return {std::move(results[1]), std::move(results[0])};
}

NormedSum Norm::operator()(const Sum& x, bool bfloat16) const {
  return layer_norm(x, weight_, bias_, eps_, bfloat16 ? at::kBFloat16 : x.x.scalar_type());
}

}  // namespace ecp
