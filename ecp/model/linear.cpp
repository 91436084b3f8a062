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
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                            at::ScalarType operands, at::ScalarType result) {
    const at::Tensor rows = as_matrix(x, operands), matrix = weight.to(operands);
    context->save_for_backward({rows, matrix});
    context->saved_data["shape"] = x.sizes().vec();
    context->saved_data["dtype"] = x.scalar_type();
    context->saved_data["bias"] = bias.has_value();
    at::Tensor out;
    if (bias && result == at::kBFloat16) {
      out = at::linear(rows, matrix, bias->to(at::kBFloat16));  // adds it before rounding
    } else if (bias) {
      out = bias->repeat({rows.size(0), 1});  // never the bias itself, not for one row either
      add_product({rows}, {matrix, true}, out);
    } else {
      out = product({rows}, {matrix, true}, result);
    }
    auto shape = x.sizes().vec();
    shape.back() = weight.size(0);
    return out.view(shape);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &rows = saved[0], &matrix = saved[1];
    const at::Tensor grad = as_matrix(grads[0], rows.scalar_type());
    const at::Tensor grad_x = product({grad}, {matrix}, rows.scalar_type())
                                  .to(context->saved_data["dtype"].toScalarType())
                                  .view(context->saved_data["shape"].toIntVector());
    const bool bias = context->saved_data["bias"].toBool();
    return {grad_x,
            product({grad, true}, {rows}, at::kFloat),
            bias ? at::sum(grad, 0, false, at::kFloat) : at::Tensor(),
            {},
            {}};
  }
};

}  // namespace

at::Tensor Linear::operator()(const at::Tensor& x, bool bfloat16) const {
  const at::ScalarType dtype = bfloat16 ? at::kBFloat16 : at::kFloat;
  return LinearFunction::apply(x, weight_, if_defined(bias_), dtype, dtype);
}

at::Tensor Linear::to_float(const at::Tensor& x, bool bfloat16) const {
  return LinearFunction::apply(x, weight_, if_defined(bias_), bfloat16 ? at::kBFloat16 : at::kFloat,
                               at::kFloat);
}

}  // namespace ecp
