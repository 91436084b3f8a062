// ecp: rows in blocks of b; a row sees the `lookback` blocks before its own and its own up to itself. In the
// paper's form block 0 has an output projection of its own, and values are rotated with their keys, which
// asks for care beyond the trained length.
#include <torch/torch.h>

#include <algorithm>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/model/attention.h"

namespace ecp {
namespace {

class EcpAttention : public Attention {
 public:
  EcpAttention(const Weights& weights, const std::string& name, const ModelConfig& config, std::int64_t layer)
      : Attention(weights, name, config, layer),
        block_(config.block),
        lookback_(config.lookback),
        last_position_(std::max<std::int64_t>(0, config.sequence / config.block - 1)),
        holds_positions_(config.holds_positions() && rotates()),
        head_dim_(config.head_dim()),
        theta_(config.rope_theta),
        first_block_output_(config.first_block_output) {
    if (first_block_output_) out_0_ = Linear(weights, name + "out_0");
  }

  at::Tensor forward(const at::Tensor& x_BND, const LayerContext& context) const override {
    Projected projected = project(x_BND, context);
    at::Tensor heads;
    const std::int64_t trained = (last_position_ + 1) * block_;
    if (holds_positions_ && x_BND.size(1) > trained) {
      require(!context.document_start,
              "model: expected at most {} tokens with packed documents and rotated values, got {}", trained,
              x_BND.size(1));
      heads = attend_beyond(projected, context);
    } else {
      rotate_all(projected, context);
      heads = attend(projected, context);
    }
    return merge(heads, context);
  }

 private:
  /// Block 0 through its own projection, the others through the common one.
  at::Tensor merge(const at::Tensor& heads_BND, const LayerContext& context) const {
    if (!first_block_output_) return output(heads_BND, context);
    const std::int64_t rows = heads_BND.size(1);
    if (rows <= block_) return out_0_(heads_BND, context.forward.bfloat16);
    const auto parts = heads_BND.split_with_sizes({block_, rows - block_}, 1);
    return at::cat({out_0_(parts[0], context.forward.bfloat16), output(parts[1], context)}, 1);
  }

  /// Rotated values carry absolute positions, which the model knows only up to its trained length. So query
  /// block k stands at block position min(k, last), its own keys with it and each earlier block one less: the
  /// keys of a block are rotated once as the block's own and once for each block that looks back at it.
  at::Tensor attend_beyond(const Projected& projected, const LayerContext& context) const {
    const auto q = projected.q.split(block_, 1), k = projected.k.split(block_, 1);
    const auto blocks = static_cast<std::int64_t>(q.size());
    // Block positions −lookback … last.
    const Rotation turns = make_rotation(
        at::arange(-lookback_ * block_, (last_position_ + 1) * block_, at::kLong), head_dim_, theta_);
    const auto rotate_block = [&](const at::Tensor& rows, std::int64_t position) {
      return rotate(rows, turns.rows((position + lookback_) * block_, rows.size(1)));
    };
    std::vector<at::Tensor> heads;
    for (std::int64_t block = 0; block < blocks; ++block) {
      const std::int64_t position = std::min(block, last_position_);
      const std::int64_t first = std::max<std::int64_t>(0, block - lookback_);
      std::vector<at::Tensor> keys;
      for (std::int64_t earlier = first; earlier <= block; ++earlier) {
        keys.push_back(rotate_block(k[earlier], position - (block - earlier)));
      }
      const Projected part{rotate_block(q[block], position), at::cat(keys, 1), std::nullopt};
      heads.push_back(
          attend(part, context, Pattern::ecp(block_, lookback_), block * block_, first * block_).flatten(2));
    }
    return at::cat(heads, 1);
  }

  Linear out_0_;
  std::int64_t block_, lookback_;
  std::int64_t last_position_;  // largest block position within the trained length
  bool holds_positions_;        // beyond it
  std::int64_t head_dim_;
  double theta_;
  bool first_block_output_;
};

}  // namespace

std::unique_ptr<Attention> make_ecp_attention(const Weights& weights, const std::string& name,
                                              const ModelConfig& config, std::int64_t layer) {
  return std::make_unique<EcpAttention>(weights, name, config, layer);
}

}  // namespace ecp
