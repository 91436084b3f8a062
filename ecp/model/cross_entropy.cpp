#include "ecp/model/cross_entropy.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "ecp/base/error.h"
#include "ecp/model/products.h"
#include "ecp/model/weights.h"
#include "ecp/ops/rows.h"

namespace ecp {
namespace {

// Logits held at a time, in elements: some 64 MB. Each chunk's rows are summed into the gradient of the whole
// weight, so that few rows at a time would spend their time on reading and writing that.
constexpr std::int64_t chunk_elements = std::int64_t{1} << 24;
constexpr std::int64_t rows_multiple = 32;  // what matrix products take at a time

std::int64_t rows_at_a_time(std::int64_t vocab) {
  const std::int64_t rows = chunk_elements / vocab;
  return std::max<std::int64_t>(1, rows < rows_multiple ? rows : rows / rows_multiple * rows_multiple);
}

/// A table as the matrix products want it.
at::Tensor operand(const at::Tensor& t, bool bfloat16) { return bfloat16 ? t.to(at::kBFloat16) : t; }

/// Logits [rows, V] in float32.
at::Tensor logits_of(const at::Tensor& hidden, LinearWeight& weight, const at::Tensor& bias) {
  at::Tensor logits = result_matrix(hidden.size(0), weight.tensor().size(0), at::kFloat);
  weight.forward(hidden, bias, logits);
  return logits;
}

/// losses[i] = −log softmax(logits[i])[targets[i]]. With a `gradient` (float32 or bfloat16, maybe the logits
/// themselves) that is softmax − one-hot. The logits are lost.
void softmax_loss(const at::Tensor& logits, const at::Tensor& targets, float* losses,
                  const at::Tensor& gradient) {
  const std::int64_t vocab = logits.size(1), stride = row_stride(logits);
  float* data = logits.mutable_data_ptr<float>();
  const bool narrow = gradient.defined() && gradient.scalar_type() == at::kBFloat16;
  auto* const halves = narrow ? static_cast<std::uint16_t*>(gradient.mutable_data_ptr()) : nullptr;
  const std::int64_t* target = targets.const_data_ptr<std::int64_t>();
  at::parallel_for(0, logits.size(0), 8, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      float* row = data + i * stride;
      const float of_target = row[target[i]];
      const float largest = ops::row_max(row, vocab);
      const float sum = ops::row_exp(row, vocab, largest);
      losses[i] = largest + std::log(sum) - of_target;
      if (narrow) {
        std::uint16_t* const to = halves + i * row_stride(gradient);
        ops::row_scale_to_bfloat16(row, vocab, 1 / sum, to);
        const float gradient_of_target = row[target[i]] / sum - 1;
        ops::row_to_bfloat16(&gradient_of_target, to + target[i], 1);
      } else if (gradient.defined()) {
        ops::row_scale(row, vocab, 1 / sum);
        row[target[i]] -= 1;
      }
    }
  });
}

class LinearCrossEntropy : public torch::autograd::Function<LinearCrossEntropy> {
 public:
  /// `weight` is `classifier`'s tensor, whose gradient autograd is to keep.
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& hidden,
                            const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                            const LinearWeightPtr& classifier, const at::Tensor& targets, bool bfloat16,
                            bool gradient) {
    const std::int64_t rows = hidden.size(0), step = rows_at_a_time(weight.size(0));
    at::Tensor grad_hidden, grad_weight, grad_bias;
    if (gradient) {
      grad_hidden = at::empty(hidden.sizes(), hidden.options());
      grad_weight = at::empty(weight.sizes(), weight.options());
      if (rows == 0) grad_weight.zero_();
      if (bias) grad_bias = at::zeros(bias->sizes(), bias->options());
    }
    const at::Tensor losses = at::empty({rows}, hidden.options().dtype(at::kFloat));
    for (std::int64_t first = 0; first < rows; first += step) {
      const std::int64_t last = std::min(rows, first + step);
      const at::Tensor chunk = operand(hidden.slice(0, first, last), bfloat16);
      const at::Tensor logits = logits_of(chunk, *classifier, bias.value_or(at::Tensor()));
      at::Tensor grad;
      if (gradient) {
        grad = bfloat16 ? result_matrix(logits.size(0), logits.size(1), at::kBFloat16) : logits;
      }
      softmax_loss(logits, targets.slice(0, first, last), losses.mutable_data_ptr<float>() + first, grad);
      if (!gradient) continue;
      classifier->backward(grad, grad_hidden.slice(0, first, last));
      (first == 0 ? multiply : add_product)({grad, true}, {chunk}, grad_weight);
      if (bias) grad_bias.add_(sum_of_rows(grad));
    }
    if (gradient) context->save_for_backward({grad_hidden, grad_weight, grad_bias});
    return losses.sum(at::kDouble).to(at::kFloat);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    const auto saved = context->get_saved_variables();
    auto& data = context->saved_data;
    require(data.count("given") == 0, "loss: expected one backward pass, got a second");
    // Of a sum that is itself what is trained the gradients are ready: they are given away, not copied.
    const bool ready = grads[0].item<float>() == 1;
    if (ready) data["given"] = true;
    const auto scaled = [&](const at::Tensor& t) { return t.defined() && !ready ? t * grads[0] : t; };
    return {scaled(saved[0]), scaled(saved[1]), scaled(saved[2]), {}, {}, {}, {}};
  }
};

}  // namespace

at::Tensor linear_cross_entropy(const at::Tensor& hidden_RD, const Linear& classifier,
                                const at::Tensor& targets_R, bool bfloat16) {
  const at::Tensor& weight = classifier.weight()->tensor();
  const bool gradient = at::GradMode::is_enabled() && (hidden_RD.requires_grad() || weight.requires_grad());
  return LinearCrossEntropy::apply(hidden_RD.contiguous(), weight, if_defined(classifier.bias()),
                                   classifier.weight(), targets_R.contiguous(), bfloat16, gradient);
}

at::Tensor linear_negative_log_likelihood(const at::Tensor& hidden_RD, const Linear& classifier,
                                          const at::Tensor& targets_R, bool bfloat16) {
  const at::NoGradGuard no_grad;
  const at::Tensor targets = targets_R.contiguous(), hidden = hidden_RD.contiguous();
  LinearWeight& weight = *classifier.weight();
  const std::int64_t rows = hidden_RD.size(0), step = rows_at_a_time(weight.tensor().size(0));
  at::Tensor losses = at::empty({rows}, hidden_RD.options().dtype(at::kFloat));
  for (std::int64_t first = 0; first < rows; first += step) {
    const std::int64_t last = std::min(rows, first + step);
    const at::Tensor logits =
        logits_of(operand(hidden.slice(0, first, last), bfloat16), weight, classifier.bias());
    softmax_loss(logits, targets.slice(0, first, last), losses.mutable_data_ptr<float>() + first, {});
  }
  return losses;
}

}  // namespace ecp
