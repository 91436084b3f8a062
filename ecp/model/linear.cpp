#include "ecp/model/linear.h"

#include <torch/torch.h>

#include <optional>

#include "ecp/model/products.h"
#include "ecp/model/weights.h"

namespace ecp {
namespace {

/// y = x Wᵀ + bias with operands in `operands` and y in `result` (float32 or the operands' dtype). The
/// gradients of weight and bias are summed and kept in float32.
class LinearFunction : public torch::autograd::Function<LinearFunction> {
 public:
  /// `weight` is `operand`'s tensor, whose gradient autograd is to keep.
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            [[maybe_unused]] const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                            const LinearWeightPtr& operand, at::ScalarType operands, at::ScalarType result) {
    const at::Tensor rows = as_matrix(x, operands);
    context->save_for_backward({rows});
    keep(*context, "weight", operand);
    context->saved_data["shape"] = x.sizes().vec();
    context->saved_data["dtype"] = x.scalar_type();
    context->saved_data["bias"] = bias.has_value();
    auto shape = x.sizes().vec();
    shape.back() = operand->tensor().size(0);
    const at::Tensor out = at::empty({rows.size(0), shape.back()}, result);
    operand->forward(rows, bias.value_or(at::Tensor()), out);
    return out.view(shape);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    const at::Tensor rows = context->get_saved_variables()[0];
    const at::Tensor grad = as_matrix(grads[0], rows.scalar_type());
    const at::Tensor grad_x = at::empty(rows.sizes(), rows.options());
    kept(*context, "weight")->backward(grad, grad_x);
    const bool bias = context->saved_data["bias"].toBool();
    return {grad_x.to(context->saved_data["dtype"].toScalarType())
                .view(context->saved_data["shape"].toIntVector()),
            product({grad, true}, {rows}),
            bias ? sum_of_rows(grad) : at::Tensor(),
            {},
            {},
            {}};
  }
};

}  // namespace

at::Tensor Linear::operator()(const at::Tensor& x, bool bfloat16) const {
  const at::ScalarType dtype = bfloat16 ? at::kBFloat16 : at::kFloat;
  return LinearFunction::apply(x, weight_->tensor(), if_defined(bias_), weight_, dtype, dtype);
}

at::Tensor Linear::to_float(const at::Tensor& x, bool bfloat16) const {
  return LinearFunction::apply(x, weight_->tensor(), if_defined(bias_), weight_,
                               bfloat16 ? at::kBFloat16 : at::kFloat, at::kFloat);
}

}  // namespace ecp
