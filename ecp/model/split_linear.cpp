#include "ecp/model/split_linear.h"

#include <torch/torch.h>

#include <array>
#include <optional>

#include "ecp/model/products.h"
#include "ecp/model/weights.h"

namespace ecp {
namespace {

/// The two parts of a window's rows.
struct Part {
  std::int64_t begin, end;
  [[nodiscard]] at::Tensor of(const at::Tensor& window) const { return window.slice(0, begin, end); }
};

std::array<Part, 2> parts_of(std::int64_t split, std::int64_t rows) { return {{{0, split}, {split, rows}}}; }

/// Calls step(window) for each; side by side where there are enough, else each with all threads.
template <class Step>
void for_windows(std::int64_t count, const Step& step) {
  const auto run = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) step(i);
  };
  count % at::get_num_threads() == 0 ? at::parallel_for(0, count, 1, run) : run(0, count);
}

class SplitLinear : public torch::autograd::Function<SplitLinear> {
 public:
  using Optional = std::optional<at::Tensor>;

  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& first_weight, const Optional& first_bias,
                            const at::Tensor& rest_weight, const Optional& rest_bias, std::int64_t split,
                            at::ScalarType dtype) {
    const at::Tensor x = input.to(dtype).contiguous();
    const std::array<at::Tensor, 2> weights = {first_weight.to(dtype), rest_weight.to(dtype)};
    const std::array<const Optional*, 2> biases = {&first_bias, &rest_bias};
    const auto parts = parts_of(split, x.size(1));
    at::Tensor out = at::empty({x.size(0), x.size(1), weights[0].size(0)}, x.options());
    for_windows(x.size(0), [&](std::int64_t window) {
      const at::NoGradGuard no_grad;  // of this thread
      for (std::size_t i = 0; i < 2; ++i) {
        multiply({parts[i].of(x[window])}, {weights[i], true}, parts[i].of(out[window]));
        if (*biases[i]) parts[i].of(out[window]).add_(**biases[i]);
      }
    });
    context->save_for_backward({x, weights[0], weights[1]});
    context->saved_data["split"] = split;
    context->saved_data["dtype"] = input.scalar_type();
    context->saved_data["bias"] = first_bias.has_value();
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const bool bias = context->saved_data["bias"].toBool();
    const at::Tensor grad = grads[0].to(x.scalar_type()).contiguous();
    const at::Tensor grad_x = at::empty(x.sizes(), x.options());
    const auto parts = parts_of(context->saved_data["split"].toInt(), x.size(1));
    for_windows(x.size(0), [&](std::int64_t window) {
      const at::NoGradGuard no_grad;
      for (std::size_t i = 0; i < 2; ++i)
        multiply({parts[i].of(grad[window])}, {saved[1 + i]}, parts[i].of(grad_x[window]));
    });
    std::array<at::Tensor, 2> weight_grads, bias_grads;
    for (std::size_t i = 0; i < 2; ++i) {
      weight_grads[i] = at::zeros(saved[1 + i].sizes(), at::kFloat);
      for (std::int64_t window = 0; window < x.size(0); ++window)
        add_product({parts[i].of(grad[window]), true}, {parts[i].of(x[window])}, weight_grads[i]);
      if (bias)
        bias_grads[i] =
            at::sum(grad.slice(1, parts[i].begin, parts[i].end), at::IntArrayRef({0, 1}), false, at::kFloat);
    }
    return {grad_x.to(context->saved_data["dtype"].toScalarType()),
            weight_grads[0],
            bias_grads[0],
            weight_grads[1],
            bias_grads[1],
            {},
            {}};
  }
};

}  // namespace

at::Tensor split_linear(const Linear& first, const Linear& rest, const at::Tensor& x_BND, std::int64_t split,
                        bool bfloat16) {
  return SplitLinear::apply(x_BND, first.weight(), if_defined(first.bias()), rest.weight(),
                            if_defined(rest.bias()), split, bfloat16 ? at::kBFloat16 : at::kFloat);
}

}  // namespace ecp
