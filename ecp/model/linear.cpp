#include "ecp/model/linear.h"

#include <torch/torch.h>

namespace ecp {
namespace {

/// y = x Wᵀ + bias with bfloat16 operands.
class Bfloat16Linear : public torch::autograd::Function<Bfloat16Linear> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& weight, const at::Tensor& bias) {
    const at::Tensor x16 = x.to(at::kBFloat16), weight16 = weight.to(at::kBFloat16);
    context->save_for_backward({x16, weight16});
    context->saved_data["bias"] = bias.defined();
    context->saved_data["float_input"] = x.scalar_type() == at::kFloat;
    return at::linear(x16, weight16, bias.defined() ? std::optional(bias.to(at::kBFloat16)) : std::nullopt);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor grad = grads[0].reshape({-1, grads[0].size(-1)});
    const at::Tensor rows = saved[0].reshape({-1, saved[0].size(-1)});
    at::Tensor grad_x = at::mm(grad, saved[1]).view(saved[0].sizes());
    if (context->saved_data["float_input"].toBool()) grad_x = grad_x.to(at::kFloat);
    const at::Tensor grad_weight = at::mm(grad.to(at::kFloat).t(), rows.to(at::kFloat));
    at::Tensor grad_bias;
    if (context->saved_data["bias"].toBool()) grad_bias = at::sum(grad, 0, false, at::kFloat);
    return {grad_x, grad_weight, grad_bias};
  }
};

}  // namespace

at::Tensor Linear::operator()(const at::Tensor& x, bool bfloat16) const {
  if (bfloat16) return Bfloat16Linear::apply(x, weight_, bias_);
  return at::linear(x, weight_, bias_.defined() ? std::optional(bias_) : std::nullopt);
}

}  // namespace ecp
