#include "ecp/model/linear.h"

#include <torch/torch.h>

#include <optional>

#include "ecp/model/products.h"

namespace ecp {
namespace {

at::Tensor as_rows(const at::Tensor& x) { return x.reshape({-1, x.size(-1)}); }

/// y = x Wᵀ + bias in float32.
class FloatLinear : public torch::autograd::Function<FloatLinear> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
    const at::Tensor rows = as_rows(x).contiguous();
    context->save_for_backward({rows, weight});
    context->saved_data["shape"] = x.sizes().vec();
    context->saved_data["bias"] = bias.has_value();
    auto shape = x.sizes().vec();
    shape.back() = weight.size(0);
    at::Tensor out = at::empty(shape, x.options());
    const at::Tensor out_rows = out.view({-1, weight.size(0)});
    if (bias) out_rows.copy_(*bias);
    multiply({rows}, {weight, true}, bias ? 1.0f : 0.0f, out_rows);
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &rows = saved[0], &weight = saved[1];
    const at::Tensor grad = as_rows(grads[0]).contiguous();
    at::Tensor grad_x = at::empty(rows.sizes(), rows.options());
    at::Tensor grad_weight = at::empty(weight.sizes(), weight.options());
    multiply({grad}, {weight}, 0, grad_x);
    multiply({grad, true}, {rows}, 0, grad_weight);
    const bool bias = context->saved_data["bias"].toBool();
    return {grad_x.view(context->saved_data["shape"].toIntVector()), grad_weight,
            bias ? grad.sum(0) : at::Tensor()};
  }
};

/// y = x Wᵀ + bias with bfloat16 operands, y bfloat16 or float32. The weight's gradient is summed and kept in
/// float32.
class Bfloat16Linear : public torch::autograd::Function<Bfloat16Linear> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                            at::ScalarType dtype) {
    const at::Tensor x16 = x.to(at::kBFloat16).contiguous(), weight16 = weight.to(at::kBFloat16);
    context->save_for_backward({x16, weight16});
    context->saved_data["bias"] = bias.has_value();
    context->saved_data["float_input"] = x.scalar_type() == at::kFloat;
    if (dtype == at::kBFloat16) {
      return at::linear(x16, weight16, bias ? std::optional(bias->to(at::kBFloat16)) : std::nullopt);
    }
    const at::Tensor rows = as_rows(x16);
    at::Tensor out = multiply_to_float({rows}, {weight16, true});
    if (bias) out.add_(*bias);
    auto shape = x.sizes().vec();
    shape.back() = weight.size(0);
    return out.view(shape);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor grad = as_rows(grads[0]).to(at::kBFloat16).contiguous(), rows = as_rows(saved[0]);
    at::Tensor grad_x = at::mm(grad, saved[1]).view(saved[0].sizes());
    if (context->saved_data["float_input"].toBool()) grad_x = grad_x.to(at::kFloat);
    const bool bias = context->saved_data["bias"].toBool();
    return {grad_x,
            multiply_to_float({grad, true}, {rows}),
            bias ? at::sum(grad, 0, false, at::kFloat) : at::Tensor(),
            {}};
  }
};

std::optional<at::Tensor> optional(const at::Tensor& t) {
  return t.defined() ? std::optional(t) : std::nullopt;
}

}  // namespace

at::Tensor Linear::operator()(const at::Tensor& x, bool bfloat16) const {
  return bfloat16 ? Bfloat16Linear::apply(x, weight_, optional(bias_), at::kBFloat16)
                  : FloatLinear::apply(x, weight_, optional(bias_));
}

at::Tensor Linear::to_float(const at::Tensor& x, bool bfloat16) const {
  return bfloat16 ? Bfloat16Linear::apply(x, weight_, optional(bias_), at::kFloat)
                  : FloatLinear::apply(x, weight_, optional(bias_));
}

}  // namespace ecp
