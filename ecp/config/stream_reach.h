// How far a token of an endless text looks back: through one layer, through two, through all of them.
//
// Bounded patterns are made of blocks, so this repeats itself: rows a period apart look equally far back, and
// rows of a tile (those between two edges of blocks) see the same first token.
#pragma once

#include <cstdint>
#include <vector>

#include "ecp/config/model_config.h"

namespace ecp {

/// Rows of a period from `begin` to the next tile's.
struct ReachTile {
  std::int64_t begin = 0;
  /// For 1, 2, … L layers the first token that they reach, all heads together, counted from the period's
  /// beginning: 0 or less.
  std::vector<std::int64_t> first;
};

struct StreamReach {
  std::int64_t layers = 0;
  std::int64_t period = 0;       // rows; 0: the pattern is unbounded, and every row sees all before it
  std::vector<ReachTile> tiles;  // of one period, the first begins at 0

  /// The first token that can influence `row`, itself included, through `through` layers (0 … L).
  [[nodiscard]] std::int64_t first(std::int64_t row, std::int64_t through) const;
};

/// Fails for architectures with latents, whose rows have no such view, and where rows see what comes after
/// them.
StreamReach stream_reach(const ModelConfig& config);

}  // namespace ecp
