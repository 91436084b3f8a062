#include "ecp/config/stream_reach.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "ecp/base/error.h"
#include "ecp/config/attention_plan.h"

namespace ecp {

std::int64_t StreamReach::first(std::int64_t row, std::int64_t through) const {
  require(row >= 0 && through >= 0 && through <= layers,
          "reach: expected a row and 0 to {} layers, got row {} and {} layers", layers, row, through);
  if (through == 0) return row;
  if (period == 0) return 0;
  const std::int64_t place = row % period;
  const auto next = std::upper_bound(tiles.begin(), tiles.end(), place,
                                     [](std::int64_t at, const ReachTile& tile) { return at < tile.begin; });
  const std::int64_t from = (next - 1)->first[static_cast<std::size_t>(through - 1)];
  return std::max<std::int64_t>(0, row - place + from);
}

StreamReach stream_reach(const ModelConfig& config) {
  const std::vector<HeadGroup> groups = head_groups(config);
  StreamReach reach;
  reach.layers = config.layers;
  std::int64_t period = 1, halo = 0;
  for (const HeadGroup& group : groups) {
    require(group.pattern.causal(), "reach: expected a model whose rows see none after them");
    if (!group.pattern.bounded()) return reach;
    period = std::lcm(period, group.pattern.block());
    halo = std::max(halo, group.pattern.halo());
  }
  reach.period = period;
  // Far enough from the beginning that nothing is cut off there.
  const std::int64_t origin = ((config.layers + 1) * (halo + 1) / period + 1) * period;
  std::set<std::int64_t> edges;
  for (const HeadGroup& group : groups) {
    for (std::int64_t row = origin; row < origin + period; row = group.pattern.tile_end(row)) {
      edges.insert(std::max(origin, group.pattern.tile_begin(row)));
    }
  }
  for (const std::int64_t edge : edges) {
    ReachTile tile{edge - origin, {}};
    std::int64_t row = edge;
    for (std::int64_t layer = 0; layer < config.layers; ++layer) {
      std::int64_t seen = row;
      for (const HeadGroup& group : groups) seen = std::min(seen, group.pattern.at(row).lo);
      row = seen;
      tile.first.push_back(row - origin);
    }
    reach.tiles.push_back(std::move(tile));
  }
  return reach;
}

}  // namespace ecp
