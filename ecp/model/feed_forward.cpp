#include "ecp/model/feed_forward.h"

#include <torch/torch.h>

#include <algorithm>
#include <optional>

#include "ecp/model/inner_rows.h"
#include "ecp/model/products.h"

namespace ecp {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Rows worked on at a time: 8 MB of inner rows in float32, 16 MB in bfloat16 (whose products are faster, so
/// that adding them to the weights' gradients weighs more), evenly. Fixed, so that sums don't depend on the
/// machine.
std::int64_t rows_at_a_time(std::int64_t rows, std::int64_t width, at::ScalarType dtype) {
  const std::int64_t elements = std::int64_t{1} << (dtype == at::kBFloat16 ? 23 : 21);
  const std::int64_t most = std::max<std::int64_t>(32, elements / width);
  const std::int64_t parts = std::max<std::int64_t>(1, (rows + most - 1) / most);
  return (rows + parts - 1) / parts;
}

/// Rows [first, last) of what may be undefined.
at::Tensor part(const at::Tensor& t, std::int64_t first, std::int64_t last) {
  return t.defined() ? t.slice(0, first, last) : t;
}

at::Tensor float_table(const at::Tensor& like) {
  return like.defined() ? at::empty(like.sizes(), at::kFloat) : at::Tensor();
}

/// The layer's weights; gate is null without one.
struct FeedForwardWeights {
  LinearWeightPtr up, gate, down;
};

/// Whether the products do the activation, which nothing follows then before they leave the core.
bool gelu_in_products(const FeedForwardWeights& weights, const ops::DropoutKey& key, at::ScalarType dtype) {
  return !weights.gate && key.probability == 0 && LinearWeight::has_gelu(dtype);
}

/// down(dropout(activation(up(x)))), with SwiGLU's gate(x) beside up(x), chunk by chunk. Of the inner rows,
/// several times as wide as x, the pre-activations alone are kept for the backward.
class FeedForwardFunction : public torch::autograd::Function<FeedForwardFunction> {
 public:
  using Optional = std::optional<at::Tensor>;

  /// Products have operands of `dtype`; weights and biases are float32. The weights' tensors are arguments
  /// for autograd to keep their gradients.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            [[maybe_unused]] const at::Tensor& up_weight, const Optional& up_bias,
                            [[maybe_unused]] const Optional& gate_weight, const Optional& gate_bias,
                            [[maybe_unused]] const at::Tensor& down_weight, const Optional& down_bias,
                            const FeedForwardWeights& weights, const ops::DropoutKey& key,
                            at::ScalarType dtype, bool gradient) {
    const at::Tensor rows = as_matrix(x, dtype), none;
    const PreActivations biases{up_bias.value_or(none), gate_bias.value_or(none)};
    const std::int64_t count = rows.size(0), width = weights.down->tensor().size(1);
    const std::int64_t step = rows_at_a_time(count, width, dtype);
    const auto table = [&](std::int64_t height) { return at::empty({height, width}, rows.options()); };
    const std::int64_t kept_rows = gradient ? count : step;
    const bool in_product = gelu_in_products(weights, key, dtype);
    const PreActivations pre{in_product && !gradient ? none : table(kept_rows),
                             weights.gate ? table(kept_rows) : none};
    const at::Tensor inner = table(step);
    const InnerRows inner_rows(key, x.size(1), width);
    auto shape = x.sizes().vec();
    shape.back() = weights.down->tensor().size(0);
    const at::Tensor out = at::empty({count, shape.back()}, rows.options());
    for (std::int64_t first = 0; first < count; first += step) {
      const std::int64_t last = std::min(count, first + step), from = gradient ? first : 0;
      const at::Tensor chunk = part(rows, first, last), to = part(inner, 0, last - first);
      const PreActivations chunk_pre{part(pre.up, from, from + last - first),
                                     part(pre.gate, from, from + last - first)};
      if (in_product) {
        weights.up->forward_gelu(chunk, biases.up, chunk_pre.up, to);
      } else {
        weights.up->forward(chunk, biases.up, chunk_pre.up);
        if (weights.gate) weights.gate->forward(chunk, biases.gate, chunk_pre.gate);
        inner_rows.forward(chunk_pre, first, to);
      }
      weights.down->forward(to, down_bias.value_or(none), part(out, first, last));
    }
    if (gradient) {
      context->save_for_backward({rows, pre.up, pre.gate});
      keep(*context, "up", weights.up);
      keep(*context, "gate", weights.gate);
      keep(*context, "down", weights.down);
      auto& data = context->saved_data;
      data["shape"] = x.sizes().vec();
      data["dtype"] = x.scalar_type();
      data["up_bias"] = up_bias.has_value();
      data["gate_bias"] = gate_bias.has_value();
      data["down_bias"] = down_bias.has_value();
      data["probability"] = key.probability;
      data["key"] = std::vector<std::int64_t>{static_cast<std::int64_t>(key.seed), key.step, key.layer};
      data["samples"] = key.samples;
    }
    return out.view(shape);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor& rows = saved[0];
    const PreActivations pre{saved[1], saved[2]};
    const FeedForwardWeights weights{kept(*context, "up"), kept(*context, "gate"), kept(*context, "down")};
    auto& data = context->saved_data;
    const auto shape = data["shape"].toIntVector(), key_fields = data["key"].toIntVector();
    const ops::DropoutKey key{data["probability"].toDouble(), static_cast<std::uint64_t>(key_fields[0]),
                              key_fields[1], key_fields[2], data["samples"].toIntVector()};

    const at::Tensor grad = as_matrix(grads[0], rows.scalar_type());
    const at::Tensor &up = weights.up->tensor(), &down = weights.down->tensor();
    const at::Tensor gate = weights.gate ? weights.gate->tensor() : at::Tensor();
    const std::int64_t count = rows.size(0), width = down.size(1),
                       step = rows_at_a_time(count, width, rows.scalar_type());
    const auto table = [&] { return at::empty({step, width}, rows.options()); };
    const at::Tensor inner = table();
    const PreActivations inner_grads{table(), gate.defined() ? table() : at::Tensor()};
    const InnerRows inner_rows(key, shape[1], width);
    const at::Tensor grad_x = at::empty(rows.sizes(), rows.options());
    const at::Tensor grad_up = float_table(up), grad_gate = float_table(gate), grad_down = float_table(down);
    const auto bias_grad = [&](const char* bias) {
      return data[bias].toBool() ? at::zeros({width}, at::kFloat) : at::Tensor();
    };
    const PreActivations bias_grads{bias_grad("up_bias"), bias_grad("gate_bias")};
    const bool in_product = gelu_in_products(weights, key, rows.scalar_type());
    for (std::int64_t first = 0; first < count; first += step) {
      const std::int64_t last = std::min(count, first + step), height = last - first;
      const at::Tensor chunk = part(rows, first, last), chunk_grad = part(grad, first, last);
      const at::Tensor chunk_grad_x = part(grad_x, first, last), chunk_inner = part(inner, 0, height);
      const PreActivations chunk_pre{part(pre.up, first, last), part(pre.gate, first, last)};
      const PreActivations chunk_grads{part(inner_grads.up, 0, height), part(inner_grads.gate, 0, height)};
      const auto add = first == 0 ? multiply : add_product;
      if (in_product) {
        const at::Tensor sum =
            weights.down->backward_gelu(chunk_grad, chunk_pre.up, chunk_inner, chunk_grads.up);
        if (bias_grads.up.defined()) bias_grads.up.add_(sum);
      } else {
        weights.down->backward(chunk_grad, chunk_grads.up);  // the gradient of the inner rows
        inner_rows.backward(chunk_pre, first, chunk_inner, chunk_grads, bias_grads);
      }
      add({chunk_grad, true}, {chunk_inner}, grad_down);
      add({chunk_grads.up, true}, {chunk}, grad_up);
      weights.up->backward(chunk_grads.up, chunk_grad_x);
      if (!gate.defined()) continue;
      add({chunk_grads.gate, true}, {chunk}, grad_gate);
      weights.gate->backward(chunk_grads.gate, chunk_grad_x, true);
    }
    return {grad_x.to(data["dtype"].toScalarType()).view(shape),
            grad_up,
            bias_grads.up,
            grad_gate,
            bias_grads.gate,
            grad_down,
            data["down_bias"].toBool() ? sum_of_rows(grad) : at::Tensor(),
            {},
            {},
            {},
            {}};
  }
};

}  // namespace

FeedForward::FeedForward(const Weights& weights, const std::string& name, const ModelConfig& config,
                         std::int64_t layer)
    : up_(weights, name + "up"), down_(weights, name + "down"), layer_(layer) {
  if (config.ffn == "swiglu") gate_ = Linear(weights, name + "gate");
}

at::Tensor FeedForward::operator()(const at::Tensor& x_BND, const LayerContext& context) const {
  const at::Tensor none;
  return FeedForwardFunction::apply(
      x_BND, up_.weight()->tensor(), if_defined(up_.bias()),
      if_defined(gate_.weight() ? gate_.weight()->tensor() : none), if_defined(gate_.bias()),
      down_.weight()->tensor(), if_defined(down_.bias()),
      FeedForwardWeights{up_.weight(), gate_.weight(), down_.weight()}, context.dropout_key(layer_),
      context.forward.bfloat16 ? at::kBFloat16 : at::kFloat, at::GradMode::is_enabled());
}

}  // namespace ecp
