// What a model costs, from its configuration alone: attention entries, floating-point operations, parameters,
// memory. docs/complexity.md has the formulas.
//
// Counted are the layers' plans (config/attention_plan.h), which the models execute. One product of an m×k
// and a k×n matrix is 2·m·k·n operations. Not counted: norms, softmax, rotation, activations, the optimizer.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ecp/config/attention_plan.h"
#include "ecp/config/model_config.h"

namespace ecp {

/// Operations of one forward pass over one window; two per multiply-add.
struct Flops {
  double attention = 0;  // scores and weighted sums of values, of visible entries
  double projections = 0, feed_forward = 0, compression = 0, classifier = 0;

  /// Matrix products with weights.
  [[nodiscard]] double products() const { return projections + feed_forward + compression + classifier; }
  [[nodiscard]] double forward() const { return attention + products(); }
  /// Each product has two gradients. Attention computes its scores again and has four: 5 products for 2.
  [[nodiscard]] double backward() const { return 2.5 * attention + 2 * products(); }
  Flops& operator+=(const Flops& other);
};

struct LayerCost {
  std::int64_t rows = 0, queries = 0, rows_out = 0;  // of the attention; the feed-forward works on rows_out
  Entries entries;                                   // `layer_entries`
  Flops flops;

  /// Costs the same: operations follow from rows and entries.
  [[nodiscard]] bool like(const LayerCost& other) const;
};

/// Keys and values that generation keeps.
struct CacheCost {
  enum class Kind : std::uint8_t { bounded, growing, none };  // none: each token recomputes its window
  Kind kind = Kind::none;
  std::int64_t rows = 0;  // of each layer; growing: at n
  double bytes = 0;       // of all layers, float32
};

struct Complexity {
  std::int64_t length = 0;   // n
  std::int64_t trained = 0;  // rows with logits
  std::vector<LayerCost> layers;
  Entries entries;
  Flops flops;                             // the layers' and the classifier's
  std::optional<std::int64_t> parameters;  // unknown without a vocabulary
  std::int64_t inner_parameters = 0;       // without embedding and classifier
  double activations_float32 = 0;          // bytes of one window
  double activations_bfloat16 = 0;
  CacheCost cache;

  /// Operations of a training step for one token of the window.
  [[nodiscard]] double training_per_token() const {
    return (flops.forward() + flops.backward()) / static_cast<double>(length);
  }
  /// The same for one token that has a loss.
  [[nodiscard]] double training_per_trained_token() const {
    return (flops.forward() + flops.backward()) / static_cast<double>(trained);
  }
};

constexpr std::int64_t most_counted = std::int64_t{1} << 24;  // tokens of a window

/// One window of n tokens, 1 ≤ n ≤ most_counted. `config` is valid; without a vocabulary (0) embedding and
/// classifier are left out. Fails where counts overflow, and as `layer_plan` does.
Complexity complexity(const ModelConfig& config, std::int64_t n);

/// Bytes that a training step keeps of one window of n tokens from its forward for its backward, at least:
/// the residual stream before and after each half layer (float32), the halves' normalised inputs, queries,
/// keys, values (and those before their norm), heads' outputs and the feed-forward's pre-activations (2 bytes
/// each with `bfloat16`, otherwise 4), the last norm's input and output. With `recompute` (activation
/// checkpointing): each layer's input, and the rest of one layer at a time.
double activation_bytes(const ModelConfig& config, std::int64_t n, bool bfloat16, bool recompute = false);

}  // namespace ecp
