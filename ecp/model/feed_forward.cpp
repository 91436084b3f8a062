#include "ecp/model/feed_forward.h"

#include <torch/torch.h>

#include <vector>

#include "ecp/model/row_kernels.h"
#include "ecp/model/rows.h"
#include "ecp/ops/dropout.h"

namespace ecp {
namespace {

constexpr std::int64_t rows_per_task = 8;

class SwiGlu : public torch::autograd::Function<SwiGlu> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& gate,
                            const at::Tensor& up) {
    context->save_for_backward({gate, up});
    const std::int64_t width = up.size(-1);
    at::Tensor out = at::empty(up.sizes(), up.options());
    const FloatRows gates(gate, width), ups(up, width), to(out, width);
    at::parallel_for(0, up.numel() / width, rows_per_task, [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> read_gate, read_up, written;
      for (std::int64_t i = begin; i < end; ++i) {
        row_swiglu(gates.read(i, read_gate), ups.read(i, read_up), to.begin(i, written), width);
        to.written(i, written);
      }
    });
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &gate = saved[0], &up = saved[1];
    const at::Tensor grad = grads[0].contiguous();
    const std::int64_t width = up.size(-1);
    at::Tensor grad_gate = at::empty(gate.sizes(), gate.options()),
               grad_up = at::empty(up.sizes(), up.options());
    const FloatRows gates(gate, width), ups(up, width), outs(grad, width), to_gate(grad_gate, width),
        to_up(grad_up, width);
    at::parallel_for(0, up.numel() / width, rows_per_task, [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> read_gate, read_up, read_grad, written_gate, written_up;
      for (std::int64_t i = begin; i < end; ++i) {
        row_swiglu_backward(gates.read(i, read_gate), ups.read(i, read_up), outs.read(i, read_grad),
                            to_gate.begin(i, written_gate), to_up.begin(i, written_up), width);
        to_gate.written(i, written_gate);
        to_up.written(i, written_up);
      }
    });
    return {grad_gate, grad_up};
  }
};

/// x [B, n, f] with dropout counted by row of the window and element.
at::Tensor drop(const at::Tensor& x, const ops::DropoutKey& key) {
  at::Tensor out = at::empty(x.sizes(), x.options());
  const std::int64_t rows = x.size(1), width = x.size(2);
  const std::uint32_t threshold = ops::dropout_threshold(key.probability);
  const auto kept = static_cast<float>(1 / ops::kept_share(key.probability));
  const FloatRows from(x, width), to(out, width);
  at::parallel_for(0, x.size(0) * rows, rows_per_task, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> scratch(static_cast<std::size_t>(width + 256)), read, written;
    for (std::int64_t i = begin; i < end; ++i) {
      const auto stream =
          ops::dropout_stream(key.seed, key.step, key.samples[static_cast<std::size_t>(i / rows)], key.layer,
                              ops::DropoutSite::feed_forward, 0);
      const float* factors = ops::dropout_row(stream, i % rows, 0, width, threshold, kept, scratch.data());
      row_scale_by(from.read(i, read), 1.0f, factors, to.begin(i, written), width);
      to.written(i, written);
    }
  });
  return out;
}

/// Nothing is kept for the backward but the key.
class Dropout : public torch::autograd::Function<Dropout> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const ops::DropoutKey& key) {
    auto& data = context->saved_data;
    data["probability"] = key.probability;
    data["key"] = std::vector<std::int64_t>{static_cast<std::int64_t>(key.seed), key.step, key.layer};
    data["samples"] = key.samples;
    return drop(x, key);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    auto& data = context->saved_data;
    const auto key = data["key"].toIntVector();
    const ops::DropoutKey same{data["probability"].toDouble(), static_cast<std::uint64_t>(key[0]), key[1],
                               key[2], data["samples"].toIntVector()};
    return {drop(grads[0].contiguous(), same), {}};
  }
};

}  // namespace

FeedForward::FeedForward(const Weights& weights, const std::string& name, const ModelConfig& config,
                         std::int64_t layer)
    : up_(weights, name + "up"),
      down_(weights, name + "down"),
      gated_(config.ffn == "swiglu"),
      layer_(layer) {
  if (gated_) gate_ = Linear(weights, name + "gate");
}

at::Tensor FeedForward::operator()(const at::Tensor& x_BND, const LayerContext& context) const {
  const bool bfloat16 = context.forward.bfloat16;
  at::Tensor inner =
      gated_ ? SwiGlu::apply(gate_(x_BND, bfloat16), up_(x_BND, bfloat16)) : at::gelu(up_(x_BND, bfloat16));
  if (context.dropout > 0) inner = Dropout::apply(inner, context.dropout_key(layer_));
  return down_(inner, bfloat16);
}

}  // namespace ecp
