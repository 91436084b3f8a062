// compressed: after layer 0 the history's c rows are projected along the sequence to p, the same for all
// features: P(y) = W_p·y + b_p acts on the heads' outputs before the output projection. A history that is
// shorter than c is one whose first rows are zero and seen by nobody.
//
// Residual of layer 0: the history's is W_p·x, a latent row's its own. In the authors' program it is the
// stream's first p + ℓ rows for both, so that latent row c + j gets that of row p + j.
#include <torch/torch.h>

#include "ecp/model/attention.h"

namespace ecp {
namespace {

class CompressedAttention : public Attention {
 public:
  CompressedAttention(const Weights& weights, const std::string& name, const ModelConfig& config,
                      std::int64_t layer)
      : Attention(weights, name, config, layer),
        compress_(weights.find(name + "compress.weight")),
        bias_(weights.find(name + "compress.bias")),
        authors_residual_(config.compressed_residual == "authors") {}

  at::Tensor forward(const at::Tensor& x_BND, const LayerContext& context) const override {
    if (context.plan.compressed_to == 0) return Attention::forward(x_BND, context);
    Projected projected = project(x_BND, context);
    rotate_all(projected, context);
    const auto [history, latent] = divided(attend(projected, context), context);
    return output(at::cat({compressed(history) + bias_.unsqueeze(-1).to(history.dtype()), latent}, 1),
                  context);
  }

  at::Tensor residual(const at::Tensor& x_BND, const LayerContext& context) const override {
    if (context.plan.compressed_to == 0) return Attention::residual(x_BND, context);
    if (authors_residual_) {
      const std::int64_t missing = compress_.size(1) - context.plan.compressed_from;
      return at::constant_pad_nd(x_BND, {0, 0, missing, 0}).slice(1, 0, context.plan.rows_out());
    }
    const auto [history, latent] = divided(x_BND, context);
    return at::cat({compressed(history), latent}, 1);
  }

 private:
  static std::tuple<at::Tensor, at::Tensor> divided(const at::Tensor& x_BND, const LayerContext& context) {
    const std::int64_t history = context.plan.compressed_from;
    const auto parts = x_BND.split_with_sizes({history, x_BND.size(1) - history}, 1);
    return {parts[0], parts[1]};
  }

  /// W_p·y of the history's last rows, [B, c', d] → [B, p, d].
  [[nodiscard]] at::Tensor compressed(const at::Tensor& y_BCD) const {
    const at::Tensor weight = compress_.slice(1, compress_.size(1) - y_BCD.size(1));
    return at::matmul(weight.to(y_BCD.dtype()), y_BCD);
  }

  at::Tensor compress_, bias_;  // [p, c], [p]; layer 0's alone
  bool authors_residual_;
};

}  // namespace

std::unique_ptr<Attention> make_compressed_attention(const Weights& weights, const std::string& name,
                                                     const ModelConfig& config, std::int64_t layer) {
  return std::make_unique<CompressedAttention>(weights, name, config, layer);
}

}  // namespace ecp
