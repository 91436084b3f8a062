#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "ecp/kernels/attention_tiles.h"
#include "ecp/kernels/denormals.h"
#include "ecp/kernels/dropout.h"
#include "ecp/kernels/interval_attention.h"
#include "ecp/kernels/isa.h"
#include "ecp/kernels/scratch.h"
#include "ecp/kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ecp/kernels/interval_attention_forward.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first: it re-includes this file once per instruction set.
#include "ecp/kernels/packing-inl.h"

#ifndef ECP_INTERVAL_ATTENTION_FORWARD_ONCE
#define ECP_INTERVAL_ATTENTION_FORWARD_ONCE
namespace ecp::kernels {

// A group of queries walks over chunks of keys, which are packed once for the group; within it a tile of
// queries is worked on at a time: its scores with one chunk stay in the nearest caches.
constexpr std::int64_t query_group = 256;
constexpr std::int64_t query_tile = 64;
constexpr std::int64_t key_chunk = 128;

struct ForwardScratch {
  Scratch keys, values, queries, scores, probabilities, out, factors, factor_rows;
};

}  // namespace ecp::kernels
#endif

HWY_BEFORE_NAMESPACE();
#if ECP_PAIRS
#pragma GCC push_options
#pragma GCC target("avx512bf16")
#endif
namespace ecp::kernels::HWY_NAMESPACE {

/// A tile of queries during its group's walk. Lanes are queries: scores are [key, query], the result [column,
/// query].
struct QueryTile {
  Range rows;          // of q
  std::int64_t width;  // lanes: rows.size() rounded up
  TileKeys keys;
  float* queries;                           // [words, width], packed
  float* out;                               // [columns, width], not yet divided by `sum`
  alignas(64) float highest[query_tile];    // what scores are reduced by before they are raised
  alignas(64) float sum[query_tile];        // of the raised ones
  alignas(64) std::int32_t lo[query_tile];  // the keys each lane sees, counted from keys.all.lo
  alignas(64) std::int32_t hi[query_tile];
};

/// The keys of a chunk, counted from its first, that some lane, or every lane, of a vector sees.
struct Seen {
  std::int64_t some_lo, some_hi, all_lo, all_hi;
};

HWY_INLINE Seen seen_by(const QueryTile& tile, std::int64_t lane, std::int64_t chunk_begin,
                        std::int64_t chunk_size) {
  const hn::RebindToSigned<Floats> d;
  const auto shift = hn::Set(d, static_cast<std::int32_t>(tile.keys.all.lo - chunk_begin));
  const auto size = hn::Set(d, static_cast<std::int32_t>(chunk_size));
  const auto bounded = [&](const std::int32_t* of) HWY_ATTR {
    return hn::Min(hn::Max(hn::Add(hn::Load(d, of + lane), shift), hn::Zero(d)), size);
  };
  const auto lo = bounded(tile.lo), hi = hn::Max(lo, bounded(tile.hi));
  const auto some = hn::Lt(lo, hi);
  if (hn::AllFalse(d, some)) return {0, 0, 0, 0};
  Seen seen{hn::GetLane(hn::MinOfLanes(d, hn::IfThenElse(some, lo, size))),
            hn::GetLane(hn::MaxOfLanes(d, hn::IfThenElseZero(some, hi))), hn::GetLane(hn::MaxOfLanes(d, lo)),
            hn::GetLane(hn::MinOfLanes(d, hi))};
  seen.all_hi = std::max(seen.all_hi, seen.all_lo);
  return seen;
}

/// One chunk of packed keys against one tile of queries.
struct Chunk {
  std::int64_t begin, size;  // keys
  ReadWords keys;            // [words, key]
  ReadWords values;          // [key / group, column]
};

/// scores[key, query] for the keys that vectors of the tile see; what none of a vector's lanes sees may be
/// left as it is.
template <class Engine>
HWY_INLINE void score(const QueryTile& tile, const Chunk& chunk, const Seen* seen, std::int64_t words,
                      WriteWords scores) {
  const std::int64_t vectors = tile.width / lanes;
  const ReadWords queries{tile.queries, tile.width};
  std::int64_t begin = 0;
  const auto needed = [&](std::int64_t key) {  // by the 8 keys from `key`: vectors [first, second)
    std::int64_t first = vectors, last = 0;
    for (std::int64_t v = 0; v < vectors; ++v) {
      if (seen[v].some_lo < key + 8 && key < seen[v].some_hi) {
        first = std::min(first, v);
        last = v + 1;
      }
    }
    return Range{first, last};
  };
  // Runs of keys that the same vectors need.
  while (begin < chunk.size) {
    const Range range = needed(begin);
    std::int64_t end = begin + 8;
    while (end < chunk.size) {
      const Range next = needed(end);
      if (next.begin != range.begin || next.end != range.end) break;
      end += 8;
    }
    if (!range.empty()) {
      multiply<Engine, false>(end - begin, range.size() * lanes, words, chunk.keys.at(0, begin),
                              queries.at(0, range.begin * lanes), scores.at(begin, range.begin * lanes));
    }
    begin = end;
  }
}

HWY_INLINE hn::Mask<Floats> sees(const QueryTile& tile, std::int64_t lane, std::int64_t key) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const auto k = hn::Set(di, static_cast<std::int32_t>(key - tile.keys.all.lo));
  const auto lo = hn::Load(di, tile.lo + lane), hi = hn::Load(di, tile.hi + lane);
  return hn::RebindMask(d, hn::And(hn::Not(hn::Lt(k, lo)), hn::Lt(k, hi)));
}

/// Calls visit(key, mask) for each key in [seen.some_lo, seen.some_hi); `mask` is null for keys that all
/// lanes see.
template <class Masked, class Whole>
HWY_INLINE void each_key(const QueryTile& tile, const Chunk& chunk, const Seen& seen, std::int64_t lane,
                         Masked&& masked, Whole&& whole) {
  const std::int64_t whole_lo = std::clamp(seen.all_lo, seen.some_lo, seen.some_hi);
  const std::int64_t whole_hi = std::clamp(seen.all_hi, whole_lo, seen.some_hi);
  for (std::int64_t k = seen.some_lo; k < whole_lo; ++k) masked(k, sees(tile, lane, chunk.begin + k));
  for (std::int64_t k = whole_lo; k < whole_hi; ++k) whole(k);
  for (std::int64_t k = whole_hi; k < seen.some_hi; ++k) masked(k, sees(tile, lane, chunk.begin + k));
}

/// Scores of one vector of queries become probabilities not yet divided by their sum, 0 where a lane doesn't
/// see the key. Where a chunk's highest score is far above what was subtracted so far, that is raised, and
/// sum and result so far are made smaller accordingly.
HWY_INLINE void raise(QueryTile& tile, const Chunk& chunk, const Seen& seen, std::int64_t lane, float factor,
                      std::int64_t columns, WriteWords scores) {
  const Floats d;
  const VF none = hn::Set(d, -std::numeric_limits<float>::infinity());
  const VF scale = hn::Set(d, factor);
  const auto at = [&](std::int64_t k) { return scores.data + k * scores.stride + lane; };

  VF largest = none;
  each_key(
      tile, chunk, seen, lane,
      [&](std::int64_t k, auto mask)
          HWY_ATTR { largest = hn::Max(largest, hn::IfThenElse(mask, hn::LoadU(d, at(k)), none)); },
      [&](std::int64_t k) HWY_ATTR { largest = hn::Max(largest, hn::LoadU(d, at(k))); });

  VF highest = hn::Load(d, tile.highest + lane);
  VF sum = hn::Load(d, tile.sum + lane);
  // Up to 2^8 above 1 a probability is as exact as below.
  const VF slack = hn::Set(d, 8.0f);
  const auto far = hn::Gt(hn::Mul(hn::Sub(largest, highest), scale), slack);
  if (!hn::AllFalse(d, far)) {
    const VF raised = hn::IfThenElse(far, largest, highest);
    const auto had = hn::And(far, hn::Gt(highest, none));
    const VF power = exp2(hn::Mul(hn::Sub(highest, raised), scale));
    const VF correction = hn::IfThenElse(had, power, hn::Set(d, 1.0f));
    highest = raised;
    hn::Store(highest, d, tile.highest + lane);
    sum = hn::Mul(sum, correction);
    if (!hn::AllFalse(d, had)) {
      for (std::int64_t c = 0; c < columns; ++c) {
        float* out = tile.out + c * tile.width + lane;
        hn::StoreU(hn::Mul(hn::LoadU(d, out), correction), d, out);
      }
    }
  }
  // Where nothing is above −inf yet: zeros, or what is not a number.
  const VF subtract = hn::Mul(hn::IfThenElse(hn::Gt(highest, none), highest, hn::Zero(d)), scale);
  each_key(
      tile, chunk, seen, lane,
      [&](std::int64_t k, auto mask) HWY_ATTR {
        const VF p = hn::IfThenElseZero(mask, exp2(hn::MulSub(hn::LoadU(d, at(k)), scale, subtract)));
        sum = hn::Add(sum, p);
        hn::StoreU(p, d, at(k));
      },
      [&](std::int64_t k) HWY_ATTR {
        const VF p = exp2(hn::MulSub(hn::LoadU(d, at(k)), scale, subtract));
        sum = hn::Add(sum, p);
        hn::StoreU(p, d, at(k));
      });
  hn::Store(sum, d, tile.sum + lane);
}

/// Multiplies the probabilities of keys [begin, end) of a chunk by dropout's factors.
HWY_INLINE void drop(const IntervalAttention& p, std::uint64_t stream, const QueryTile& tile,
                     const Chunk& chunk, std::int64_t begin, std::int64_t end, WriteWords scores,
                     ForwardScratch& scratch) {
  const Floats d;
  constexpr std::int64_t stride = key_chunk + 16;
  float* rows = scratch.factor_rows.take(query_tile * stride);
  float* columns = scratch.factors.take((key_chunk + 4) * query_tile);
  float buffer[key_chunk + 256];
  for (std::int64_t i = 0; i < tile.rows.size(); ++i) {
    const float* factors =
        dropout_row(stream, p.query_offset + tile.rows.begin + i, p.key_offset + chunk.begin + begin,
                    end - begin, p.dropout.threshold, p.dropout.kept, buffer);
    std::copy(factors, factors + (end - begin), rows + i * stride);
  }
  pack_transposed<FloatWords, float>({rows, stride}, tile.rows.size(), end - begin, {columns, tile.width});
  for (std::int64_t k = begin; k < end; ++k) {
    for (std::int64_t lane = 0; lane < tile.width; lane += lanes) {
      float* at = scores.data + k * scores.stride + lane;
      const VF factor = hn::LoadU(d, columns + (k - begin) * tile.width + lane);
      hn::StoreU(hn::Mul(hn::LoadU(d, at), factor), d, at);
    }
  }
}

/// out[column, query] += values ᵀ · probabilities over keys [begin, end).
template <class Engine>
HWY_INLINE void mix(const QueryTile& tile, const Chunk& chunk, const Seen* seen, std::int64_t columns,
                    ReadWords probabilities) {
  constexpr std::int64_t together = 2;
  const std::int64_t vectors = tile.width / lanes;
  for (std::int64_t v = 0; v < vectors; v += together) {
    std::int64_t begin = chunk.size, end = 0;
    const std::int64_t last = std::min(vectors, v + together);
    for (std::int64_t i = v; i < last; ++i) {
      if (seen[i].some_hi <= seen[i].some_lo) continue;
      begin = std::min(begin, seen[i].some_lo);
      end = std::max(end, seen[i].some_hi);
    }
    if (end <= begin) continue;
    const std::int64_t first = begin / Engine::group, depth = words_of<Engine>(end) - first;
    multiply<Engine, true>(columns, (last - v) * lanes, depth, chunk.values.at(first, 0),
                           probabilities.at(first, v * lanes), {tile.out + v * lanes, tile.width});
  }
}

/// What lies between the rows that some lane of the tile needs and those that a vector needs is zero.
HWY_INLINE void clear_unseen(const QueryTile& tile, const Seen* seen, std::int64_t begin, std::int64_t end,
                             WriteWords scores) {
  const Floats d;
  for (std::int64_t v = 0; v < tile.width / lanes; ++v) {
    const std::int64_t lo = std::clamp(seen[v].some_lo, begin, end);
    const std::int64_t hi = std::clamp(seen[v].some_hi, lo, end);
    const auto clear = [&](std::int64_t from, std::int64_t to) HWY_ATTR {
      for (std::int64_t k = from; k < to; ++k) {
        hn::StoreU(hn::Zero(d), d, scores.data + k * scores.stride + v * lanes);
      }
    };
    clear(begin, lo);
    clear(hi, end);
  }
}

#if ECP_PAIRS
/// Rows [begin, end) of floats as rows of pairs; both are multiples of two.
HWY_INLINE void pair_rows(ReadWords from, std::int64_t begin, std::int64_t end, std::int64_t columns,
                          WriteWords to) {
  const Floats d;
  for (std::int64_t k = begin; k < end; k += 2) {
    for (std::int64_t c = 0; c < columns; c += lanes) {
      const float* at = from.data + k * from.stride + c;
      hn::StoreU(interleave_pairs(hn::LoadU(d, at), hn::LoadU(d, at + from.stride)), d,
                 to.data + k / 2 * to.stride + c);
    }
  }
}
#endif

template <class Engine>
HWY_INLINE void attend(const IntervalAttention& p, std::uint64_t stream, QueryTile& tile, const Chunk& chunk,
                       std::int64_t columns, ForwardScratch& scratch) {
  Seen seen[query_tile / lanes];
  std::int64_t begin = chunk.size, end = 0;
  for (std::int64_t v = 0; v < tile.width / lanes; ++v) {
    seen[v] = seen_by(tile, v * lanes, chunk.begin, chunk.size);
    if (seen[v].some_hi <= seen[v].some_lo) continue;
    begin = std::min(begin, seen[v].some_lo);
    end = std::max(end, seen[v].some_hi);
  }
  if (end <= begin) return;
  const WriteWords scores{scratch.scores.take((key_chunk + 8) * query_tile), tile.width};
  score<Engine>(tile, chunk, seen, words_of<Engine>(p.width), scores);
  const float factor = std::abs(p.scale) * std::numbers::log2e_v<float>;
  for (std::int64_t v = 0; v < tile.width / lanes; ++v) {
    if (seen[v].some_hi > seen[v].some_lo) raise(tile, chunk, seen[v], v * lanes, factor, columns, scores);
  }
  const std::int64_t even = begin / Engine::group * Engine::group;
  clear_unseen(tile, seen, even, round_up(end, Engine::group), scores);
  if (p.dropout.threshold > 0) drop(p, stream, tile, chunk, begin, end, scores, scratch);
  if constexpr (Engine::group == 1) {
    mix<Engine>(tile, chunk, seen, columns, scores);
  } else {
#if ECP_PAIRS
    const WriteWords pairs{scratch.probabilities.take(key_chunk / 2 * query_tile), tile.width};
    pair_rows(scores, even, round_up(end, Engine::group), tile.width, pairs);
    mix<Engine>(tile, chunk, seen, columns, pairs);
#endif
  }
}

template <class E>
HWY_INLINE void finish(const IntervalAttention& p, const AttentionForward& results, std::int64_t sample,
                       std::int64_t head, const QueryTile& tile) {
  float factors[query_tile];
  float* sums = results.log_sum_exp + (sample * p.heads + head) * p.rows;
  for (std::int64_t i = 0; i < tile.width; ++i) {
    const float sum = tile.sum[i];
    factors[i] = sum == 0 ? 0 : 1 / sum;
    if (i >= tile.rows.size()) continue;
    const float highest = tile.highest[i] == -std::numeric_limits<float>::infinity() ? 0 : tile.highest[i];
    sums[tile.rows.begin + i] =
        sum == 0 ? -std::numeric_limits<float>::infinity() : highest * std::abs(p.scale) + std::log(sum);
  }
  auto* out = static_cast<E*>(results.out.data) + sample * results.out.batch + head * results.out.head;
  unpack_transposed<E>({tile.out, tile.width}, factors, tile.rows.size(), p.width,
                       out + tile.rows.begin * results.out.row, results.out.row);
}

/// One group of queries of one head.
template <class Engine, class E>
void forward_group(const IntervalAttention& p, const AttentionForward& results, std::int64_t sample,
                   std::int64_t head, Range group, ForwardScratch& scratch) {
  const std::int64_t words = round_up(words_of<Engine>(p.width), 4), columns = round_up(p.width, 8);
  const std::int64_t kv_head = head / (p.heads / p.kv_heads);
  const std::uint64_t stream =
      p.dropout.threshold > 0 ? p.dropout.streams[static_cast<std::size_t>(sample * p.heads + head)] : 0;

  const auto ranges = tiles_of(p.pattern, p.query_offset + group.begin, group.size(), query_tile);
  std::vector<QueryTile> tiles(ranges.size());
  const std::int64_t most = static_cast<std::int64_t>(tiles.size()) * query_tile;
  float* queries = scratch.queries.take(most * words);
  float* out = scratch.out.take(most * columns);
  Interval all{p.keys, 0};
  for (std::size_t i = 0; i < tiles.size(); ++i) {
    QueryTile& tile = tiles[i];
    tile.rows = {group.begin + ranges[i].begin, group.begin + ranges[i].end};
    tile.width = round_up(tile.rows.size(), lanes);
    tile.keys.set(p, sample, tile.rows);
    tile.queries = queries;
    tile.out = out;
    queries += query_tile * words;
    out += query_tile * columns;
    for (std::int64_t lane = 0; lane < query_tile; ++lane) {
      const bool real = lane < tile.rows.size();
      tile.lo[lane] = real ? tile.keys.lo[static_cast<std::size_t>(lane)] : 0;
      tile.hi[lane] = real ? tile.keys.hi[static_cast<std::size_t>(lane)] : 0;
      tile.highest[lane] = -std::numeric_limits<float>::infinity();
      tile.sum[lane] = 0;
    }
    // Lanes past the last row see what it sees, so that they need no masks.
    for (std::int64_t lane = tile.rows.size(); lane < tile.width; ++lane) {
      tile.lo[lane] = tile.lo[tile.rows.size() - 1];
      tile.hi[lane] = tile.hi[tile.rows.size() - 1];
    }
    if (tile.keys.all.size() > 0) {
      pack_transposed<Engine, E>(rows_at<E>(p.q, sample, head, tile.rows.begin), tile.rows.size(), p.width,
                                 {tile.queries, tile.width}, p.scale < 0);
      all = {std::min(all.lo, tile.keys.all.lo), std::max(all.hi, tile.keys.all.hi)};
    }
    fill({tile.out, tile.width}, columns, tile.width, 0);
  }

  const WriteWords keys{scratch.keys.take(words * key_chunk), key_chunk};
  const WriteWords values{scratch.values.take(key_chunk * columns), columns};
  for (std::int64_t begin = all.lo; begin < all.hi; begin += key_chunk) {
    const std::int64_t size = std::min(key_chunk, all.hi - begin);
    pack_transposed<Engine, E>(rows_at<E>(p.k, sample, kv_head, begin), size, p.width, keys);
    pack_rows<Engine, E>(rows_at<E>(p.v.data != nullptr ? p.v : p.k, sample, kv_head, begin), size, p.width,
                         values);
    for (QueryTile& tile : tiles) {
      attend<Engine>(p, stream, tile, {begin, size, keys, values}, columns, scratch);
    }
  }
  for (const QueryTile& tile : tiles) finish<E>(p, results, sample, head, tile);
}

void forward_float32(const IntervalAttention& p, const AttentionForward& results, std::int64_t sample,
                     std::int64_t head, Range group, ForwardScratch& scratch) {
  forward_group<FloatWords, float>(p, results, sample, head, group, scratch);
}

void forward_bfloat16(const IntervalAttention& p, const AttentionForward& results, std::int64_t sample,
                      std::int64_t head, Range group, bool pairs, ForwardScratch& scratch) {
#if ECP_PAIRS
  if (pairs) return forward_group<PairWords, std::uint16_t>(p, results, sample, head, group, scratch);
#endif
  (void)pairs;
  forward_group<FloatWords, std::uint16_t>(p, results, sample, head, group, scratch);
}

}  // namespace ecp::kernels::HWY_NAMESPACE
#if ECP_PAIRS
#pragma GCC pop_options
#endif
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ecp::kernels {
namespace {
HWY_EXPORT(forward_float32);
HWY_EXPORT(forward_bfloat16);

std::vector<Range> groups_of(const IntervalAttention& p) {
  return tiles_of(p.pattern, p.query_offset, p.rows, query_group);
}
}  // namespace

std::int64_t forward_tasks(const IntervalAttention& p) {
  return p.batch * p.heads * static_cast<std::int64_t>(groups_of(p).size());
}

void forward(const IntervalAttention& p, const AttentionForward& results, std::int64_t begin,
             std::int64_t end) {
  const bool pairs = isa_in_use() >= Isa::avx512_bf16;
  const DenormalsAreZero denormals;
  const std::vector<Range> groups = groups_of(p);
  const auto count = static_cast<std::int64_t>(groups.size());
  ForwardScratch scratch;
  for (std::int64_t task = begin; task < end; ++task) {
    const Range group = groups[static_cast<std::size_t>(task % count)];
    const std::int64_t head = task / count % p.heads, sample = task / count / p.heads;
    if (p.element == Element::float32) {
      HWY_DYNAMIC_DISPATCH(forward_float32)(p, results, sample, head, group, scratch);
    } else {
      HWY_DYNAMIC_DISPATCH(forward_bfloat16)(p, results, sample, head, group, pairs, scratch);
    }
  }
}

}  // namespace ecp::kernels
#endif
