#include "ecp/model/feed_forward.h"

#include <torch/torch.h>

#include <algorithm>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/ops/dropout.h"

namespace ecp {
namespace {

/// Dropout's factors for [B, n, f], counted by row of the window and element.
at::Tensor dropout_factors(const at::Tensor& like, const ops::DropoutKey& key) {
  at::Tensor factors = at::empty(like.sizes(), like.options().dtype(at::kFloat));
  const std::int64_t rows = like.size(1), width = like.size(2);
  const std::uint32_t threshold = ops::dropout_threshold(key.probability);
  const auto kept = static_cast<float>(1 / ops::kept_share(key.probability));
  float* data = factors.mutable_data_ptr<float>();
  at::parallel_for(0, like.size(0) * rows, 16, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> scratch(static_cast<std::size_t>(width + 256));
    for (std::int64_t i = begin; i < end; ++i) {
      const auto stream =
          ops::dropout_stream(key.seed, key.step, key.samples[static_cast<std::size_t>(i / rows)], key.layer,
                              ops::DropoutSite::feed_forward, 0);
      const float* row = ops::dropout_row(stream, i % rows, 0, width, threshold, kept, scratch.data());
      std::copy(row, row + width, data + i * width);
    }
  });
  return factors;
}

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
      gated_ ? at::silu(gate_(x_BND, bfloat16)) * up_(x_BND, bfloat16) : at::gelu(up_(x_BND, bfloat16));
  if (context.dropout > 0) {
    const at::ScalarType dtype = inner.scalar_type();
    inner = (inner * dropout_factors(inner, context.dropout_key(layer_))).to(dtype);
  }
  return down_(inner, bfloat16);
}

}  // namespace ecp
