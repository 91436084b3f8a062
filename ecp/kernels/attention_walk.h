// The backward's walk: a tile of keys after the other, each met by the tiles of queries that may see it, so
// that a tile of keys' gradients are whole when it ends, and a tile of queries' when the last keys that it
// sees have passed.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "ecp/kernels/attention_tiles.h"
#include "ecp/kernels/interval_attention.h"
#include "ecp/kernels/prefetch.h"

namespace ecp::kernels {

/// Tiles of queries of the walk that are closed, to be used again: they keep their memory.
template <class OpenTile>
class TilePool {
 public:
  std::unique_ptr<OpenTile> take() {
    if (unused_.empty()) return std::make_unique<OpenTile>();
    std::unique_ptr<OpenTile> tile = std::move(unused_.back());
    unused_.pop_back();
    return tile;
  }
  void give_back(std::unique_ptr<OpenTile> tile) { unused_.push_back(std::move(tile)); }

 private:
  std::vector<std::unique_ptr<OpenTile>> unused_;
};

/// Whether tiles of queries are open for so short a time that what belongs to them is small: then they keep
/// their queries and gradients packed instead of packing them again for each tile of keys, and the thread
/// keeps all of it for the next call.
inline bool opens_few(const Pattern& pattern) {
  constexpr std::int64_t most_rows = 4096;
  return pattern.bounded() && pattern.halo() <= most_rows;
}

/// Rows that will be needed after a tile of keys, to be prefetched: `queries` of tiles of queries to come,
/// and `keys`.
struct Upcoming {
  Range queries, keys;
};

/// Prefetches part `part` of `parts` of it, for query head `head` of those that share a kv head: many lines
/// asked for at once would be waited for.
template <class E>
void prefetch_part(const Upcoming& upcoming, std::int64_t part, std::int64_t parts,
                   const IntervalAttention& p, const AttentionBackward& g, std::int64_t sample,
                   std::int64_t kv_head, std::int64_t head) {
  const Range queries = part_of(upcoming.queries, part, parts), keys = part_of(upcoming.keys, part, parts);
  for (const ReadRows* x : {&p.q, &g.grad_out, &g.out}) {
    prefetch_rows<E>(*x, sample, kv_head * (p.heads / p.kv_heads) + head, queries, p.width);
  }
  if (head > 0) return;
  prefetch_rows<E>(p.k, sample, kv_head, keys, p.width);
  prefetch_rows<E>(p.v, sample, kv_head, keys, p.width);
}

/// Walks over all keys of one kv head and the query heads that share it, [0, heads / kv_heads) counted within
/// the group. Of the worker it calls
///
///   open(head, OpenTile&, rows), close(head, OpenTile&)   for each tile of queries, first and last
///   begin_keys(keys), end_keys(keys)                       around a tile of keys
///   add(head, OpenTile&, keys, Upcoming)                   for each open tile that sees some of the keys;
///   the first
///                                                          ones have something to prefetch
///
/// OpenTile has `rows` and `keys`, which open sets.
template <class OpenTile, class Worker>
void walk_backward(const IntervalAttention& p, std::int64_t most_queries, std::int64_t most_keys,
                   TilePool<OpenTile>& pool, Worker& worker) {
  const auto query_tiles = tiles_of(p.pattern, p.query_offset, p.rows, most_queries);
  const auto key_tiles = tiles_of(p.pattern, p.key_offset, p.keys, most_keys);
  const std::int64_t group = p.heads / p.kv_heads;
  std::vector<std::deque<std::unique_ptr<OpenTile>>> open(static_cast<std::size_t>(group));
  std::size_t next = 0;
  const auto open_next = [&] {
    for (std::int64_t head = 0; head < group; ++head) {
      open[static_cast<std::size_t>(head)].push_back(pool.take());
      worker.open(head, *open[static_cast<std::size_t>(head)].back(), query_tiles[next]);
    }
    ++next;
  };
  const auto close_first = [&] {
    for (std::int64_t head = 0; head < group; ++head) {
      auto& tiles = open[static_cast<std::size_t>(head)];
      worker.close(head, *tiles.front());
      pool.give_back(std::move(tiles.front()));
      tiles.pop_front();
    }
  };
  // Whether some row may see keys from `key` on.
  const auto reaches = [&](Range rows, std::int64_t key) {
    return p.pattern.at(p.query_offset + rows.end - 1).hi > p.key_offset + key;
  };
  for (const Range keys : key_tiles) {
    // By the pattern alone, whose intervals never go back from a row to the next.
    while (next < query_tiles.size() &&
           p.pattern.at(p.query_offset + query_tiles[next].begin).lo < p.key_offset + keys.end) {
      open_next();
    }
    while (!open[0].empty() && !reaches(open[0].front()->rows, keys.begin)) close_first();
    worker.begin_keys(keys);
    const std::int64_t next_row = next < query_tiles.size() ? query_tiles[next].begin : p.rows;
    const auto parts = std::min<std::int64_t>(8, static_cast<std::int64_t>(open[0].size()));
    for (std::int64_t head = 0; head < group; ++head) {
      std::int64_t part = 0;
      for (const auto& tile : open[static_cast<std::size_t>(head)]) {
        if (tile->keys.all.lo >= keys.end || keys.begin >= tile->keys.all.hi) continue;
        Upcoming upcoming;
        if (part < parts) {
          upcoming = {share_of_rows(next_row, most_keys, p.rows, part, parts),
                      share_of_rows(keys.end, most_keys, p.keys, part, parts)};
          ++part;
        }
        worker.add(head, *tile, keys, upcoming);
      }
    }
    worker.end_keys(keys);
  }
  while (next < query_tiles.size()) {
    while (!open[0].empty()) close_first();
    open_next();
  }
  while (!open[0].empty()) close_first();
}

}  // namespace ecp::kernels
