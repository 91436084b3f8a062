// full: causal attention over everything before.
#include "ecp/model/attention.h"

namespace ecp {
namespace {

class FullAttention : public Attention {
 public:
  using Attention::Attention;

  at::Tensor forward(const at::Tensor& x_BND, const LayerContext& context) const override {
    Projected projected = project(x_BND, context);
    rotate_all(projected, context);
    return output(attend(projected, context), context);
  }
};

}  // namespace

std::unique_ptr<Attention> make_full_attention(const Weights& weights, const std::string& name,
                                               const ModelConfig& config, std::int64_t layer) {
  return std::make_unique<FullAttention>(weights, name, config, layer);
}

}  // namespace ecp
