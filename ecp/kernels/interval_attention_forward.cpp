#include <hwy/cache_control.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "ecp/kernels/amx.h"
#include "ecp/kernels/attention_tiles.h"
#include "ecp/kernels/denormals.h"
#include "ecp/kernels/dropout.h"
#include "ecp/kernels/interval_attention.h"
#include "ecp/kernels/interval_attention_amx.h"
#include "ecp/kernels/isa.h"
#include "ecp/kernels/scratch.h"
#include "ecp/kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ecp/kernels/interval_attention_forward.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first: it re-includes this file once per instruction set.
#include <hwy/contrib/math/math-inl.h>

#include "ecp/kernels/packing-inl.h"

#ifndef ECP_INTERVAL_ATTENTION_FORWARD_ONCE
#define ECP_INTERVAL_ATTENTION_FORWARD_ONCE
namespace ecp::kernels {

// A group of queries walks over chunks of keys, which are packed once for the group; within it a tile of
// queries is worked on at a time: its scores with one chunk stay in the nearest caches.
constexpr std::int64_t query_group = 512;
constexpr std::int64_t most_lanes = 32;  // of a tile of queries: a panel of two vectors
constexpr std::int64_t key_chunk = 128;

struct ForwardScratch {
  Scratch keys, values, queries, scores, out, factors, factor_rows;
};

}  // namespace ecp::kernels
#endif

HWY_BEFORE_NAMESPACE();
#if ECP_PAIRS
#pragma GCC push_options
#pragma GCC target("avx512bf16")
#endif
namespace ecp::kernels::HWY_NAMESPACE {

/// A tile of queries during its group's walk, a panel wide. Lanes are queries: scores are [key, panel], the
/// result [column, panel].
struct QueryTile {
  Range rows;  // of q
  TileKeys keys;
  float* queries;  // [words, panel], packed
  float* out;      // [columns, panel], not yet divided by `sum`; there once it `has_out`
  bool has_out = false;
  alignas(64) float highest[most_lanes];  // what scores are reduced by before they are raised
  alignas(64) float sum[most_lanes];      // of the raised ones
};

constexpr std::int64_t vectors = panel / lanes;

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
  const auto lo = bounded(tile.keys.lo), hi = hn::Max(lo, bounded(tile.keys.hi));
  const auto some = hn::Lt(lo, hi);
  if (hn::AllFalse(d, some)) return {0, 0, 0, 0};
  Seen seen{hn::GetLane(hn::MinOfLanes(d, hn::IfThenElse(some, lo, size))),
            hn::GetLane(hn::MaxOfLanes(d, hn::IfThenElseZero(some, hi))), hn::GetLane(hn::MaxOfLanes(d, lo)),
            hn::GetLane(hn::MinOfLanes(d, hi))};
  seen.all_hi = std::max(seen.all_hi, seen.all_lo);
  return seen;
}

/// A chunk of packed keys and values.
struct Chunk {
  std::int64_t begin, size;  // keys
  Left keys;                 // rows are keys
  Left values;               // rows are columns
};

/// scores[key, query] for the keys that vectors of the tile see; what none of a vector's lanes sees may be
/// left as it is.
template <class Engine>
HWY_INLINE void score(const QueryTile& tile, const Chunk& chunk, const Seen* seen, std::int64_t words,
                      float* scores) {
  const auto needed = [&](std::int64_t key) {  // by the 8 keys from `key`: vectors [first, second)
    Range range{vectors, 0};
    for (std::int64_t v = 0; v < vectors; ++v) {
      if (seen[v].some_lo < key + left_rows && key < seen[v].some_hi) {
        range = {std::min(range.begin, v), v + 1};
      }
    }
    return range;
  };
  // Runs of keys that the same vectors need.
  for (std::int64_t begin = 0; begin < chunk.size;) {
    const Range range = needed(begin);
    std::int64_t end = begin + left_rows;
    for (; end < chunk.size; end += left_rows) {
      const Range next = needed(end);
      if (next.begin != range.begin || next.end != range.end) break;
    }
    if (!range.empty()) {
      multiply<Engine, false>(end - begin, range.size(), words, chunk.keys, 0, begin,
                              tile.queries + range.begin * lanes,
                              scores + begin * panel + range.begin * lanes);
    }
    begin = end;
  }
}

HWY_INLINE hn::Mask<Floats> sees(const QueryTile& tile, std::int64_t lane, std::int64_t key) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const auto k = hn::Set(di, static_cast<std::int32_t>(key - tile.keys.all.lo));
  const auto lo = hn::Load(di, tile.keys.lo + lane), hi = hn::Load(di, tile.keys.hi + lane);
  return hn::RebindMask(d, hn::And(hn::Not(hn::Lt(k, lo)), hn::Lt(k, hi)));
}

// What is added up or compared key by key has as many results, so that one needn't wait for the one before.
constexpr int chains = 4;

/// Of the keys in [seen.some_lo, seen.some_hi), whole(key, chain) for those that all lanes see, masked(key,
/// mask) for the others.
template <class Masked, class Whole>
HWY_INLINE void each_key(const QueryTile& tile, const Chunk& chunk, const Seen& seen, std::int64_t lane,
                         Masked&& masked, Whole&& whole) {
  const std::int64_t whole_lo = std::clamp(seen.all_lo, seen.some_lo, seen.some_hi);
  const std::int64_t whole_hi = std::clamp(seen.all_hi, whole_lo, seen.some_hi);
  for (std::int64_t k = seen.some_lo; k < whole_lo; ++k) masked(k, sees(tile, lane, chunk.begin + k));
  std::int64_t key = whole_lo;
  for (; key + chains <= whole_hi; key += chains)
    unrolled<chains>([&](auto i) HWY_ATTR { whole(key + i, i); });
  for (; key < whole_hi; ++key) whole(key, std::integral_constant<int, 0>());
  for (std::int64_t k = whole_hi; k < seen.some_hi; ++k) masked(k, sees(tile, lane, chunk.begin + k));
}

/// Scores of one vector of queries become probabilities not yet divided by their sum, 0 where a lane doesn't
/// see the key. Where a chunk's highest score is far above what was subtracted so far, that is raised, and
/// sum and result so far are made smaller accordingly.
HWY_INLINE void raise(QueryTile& tile, const Chunk& chunk, const Seen& seen, std::int64_t lane, float factor,
                      std::int64_t columns, float* scores) {
  const Floats d;
  const VF none = hn::Set(d, -std::numeric_limits<float>::infinity());
  const VF scale = hn::Set(d, factor);
  const auto at = [&](std::int64_t k) { return scores + k * panel + lane; };

  VF chain[chains];
  unrolled<chains>([&](auto i) HWY_ATTR { chain[i] = none; });
  each_key(
      tile, chunk, seen, lane,
      [&](std::int64_t k, auto mask)
          HWY_ATTR { chain[0] = hn::Max(chain[0], hn::IfThenElse(mask, hn::LoadU(d, at(k)), none)); },
      [&](std::int64_t k, auto i) HWY_ATTR { chain[i] = hn::Max(chain[i], hn::LoadU(d, at(k))); });
  const VF largest = hn::Max(hn::Max(chain[0], chain[1]), hn::Max(chain[2], chain[3]));

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
        float* out = tile.out + c * panel + lane;
        hn::StoreU(hn::Mul(hn::LoadU(d, out), correction), d, out);
      }
    }
  }
  // Where nothing is above −inf yet nothing is subtracted: the least of powers, or what is not a number.
  const VF subtract = hn::Mul(hn::IfThenElse(hn::Gt(highest, none), highest, hn::Zero(d)), scale);
  chain[0] = sum;
  for (int i = 1; i < chains; ++i) chain[i] = hn::Zero(d);
  each_key(
      tile, chunk, seen, lane,
      [&](std::int64_t k, auto mask) HWY_ATTR {
        const VF p = hn::IfThenElseZero(mask, exp2(hn::MulSub(hn::LoadU(d, at(k)), scale, subtract)));
        chain[0] = hn::Add(chain[0], p);
        hn::StoreU(p, d, at(k));
      },
      [&](std::int64_t k, auto i) HWY_ATTR {
        const VF p = exp2(hn::MulSub(hn::LoadU(d, at(k)), scale, subtract));
        chain[i] = hn::Add(chain[i], p);
        hn::StoreU(p, d, at(k));
      });
  sum = hn::Add(hn::Add(chain[0], chain[1]), hn::Add(chain[2], chain[3]));
  hn::Store(sum, d, tile.sum + lane);
}

/// Multiplies the probabilities of keys [begin, end) of a chunk by dropout's factors.
HWY_INLINE void drop(const IntervalAttention& p, std::uint64_t stream, const QueryTile& tile,
                     const Chunk& chunk, std::int64_t begin, std::int64_t end, float* scores,
                     ForwardScratch& scratch) {
  const Floats d;
  constexpr std::int64_t stride = key_chunk + 16;
  float* rows = scratch.factor_rows.take(panel * stride);
  float* factors = scratch.factors.take((key_chunk + 4) * panel);
  float buffer[key_chunk + 256];
  for (std::int64_t i = 0; i < tile.rows.size(); ++i) {
    const float* of_row =
        dropout_row(stream, p.query_offset + tile.rows.begin + i, p.key_offset + chunk.begin + begin,
                    end - begin, p.dropout.threshold, p.dropout.kept, buffer);
    std::copy(of_row, of_row + (end - begin), rows + i * stride);
  }
  pack_right<FloatWords, float>({rows, stride}, tile.rows.size(), end - begin, factors);
  for (std::int64_t i = 0; i < (end - begin) * panel; i += lanes) {
    float* at = scores + begin * panel + i;
    hn::StoreU(hn::Mul(hn::LoadU(d, at), hn::LoadU(d, factors + i)), d, at);
  }
}

/// What a vector doesn't need of keys [begin, end) becomes zero.
HWY_INLINE void clear_unseen(const Seen* seen, std::int64_t begin, std::int64_t end, float* scores) {
  const Floats d;
  for (std::int64_t v = 0; v < vectors; ++v) {
    const std::int64_t lo = std::clamp(seen[v].some_lo, begin, end);
    const std::int64_t hi = std::clamp(seen[v].some_hi, lo, end);
    const auto clear = [&](std::int64_t from, std::int64_t to) HWY_ATTR {
      for (std::int64_t k = from; k < to; ++k) hn::StoreU(hn::Zero(d), d, scores + k * panel + v * lanes);
    };
    clear(begin, lo);
    clear(hi, end);
  }
}

/// prefetch(part, parts) is called between the steps: many lines asked for at once would be waited for.
template <class Engine, class Prefetch>
HWY_INLINE void attend(const IntervalAttention& p, std::uint64_t stream, QueryTile& tile, const Chunk& chunk,
                       std::int64_t columns, ForwardScratch& scratch, const Prefetch& prefetch) {
  Seen seen[vectors];
  std::int64_t begin = chunk.size, end = 0;
  for (std::int64_t v = 0; v < vectors; ++v) {
    seen[v] = seen_by(tile, v * lanes, chunk.begin, chunk.size);
    if (seen[v].some_hi <= seen[v].some_lo) continue;
    begin = std::min(begin, seen[v].some_lo);
    end = std::max(end, seen[v].some_hi);
  }
  if (end <= begin) return;
  constexpr std::int64_t parts = 2 + vectors;
  prefetch(0, parts);
  float* scores = scratch.scores.take((key_chunk + left_rows) * panel);
  score<Engine>(tile, chunk, seen, words_of<Engine>(p.width), scores);
  const float factor = std::abs(p.scale) * std::numbers::log2e_v<float>;
  for (std::int64_t v = 0; v < vectors; ++v) {
    prefetch(1 + v, parts);
    if (seen[v].some_hi > seen[v].some_lo) raise(tile, chunk, seen[v], v * lanes, factor, columns, scores);
  }
  const std::int64_t first = begin / Engine::group, last = words_of<Engine>(end);
  clear_unseen(seen, first * Engine::group, last * Engine::group, scores);
  if (p.dropout.threshold > 0) drop(p, stream, tile, chunk, begin, end, scores, scratch);
  to_words<Engine>(scores, first * Engine::group, last * Engine::group);
  prefetch(parts - 1, parts);
  const auto meet_values = [&](auto accumulate) HWY_ATTR {
    multiply<Engine, accumulate>(columns, vectors, last - first, chunk.values, first, 0,
                                 scores + first * panel, tile.out);
  };
  if (tile.has_out) {
    meet_values(std::true_type());
  } else {
    meet_values(std::false_type());
    tile.has_out = true;
  }
}

template <class E>
HWY_INLINE void finish(const IntervalAttention& p, const AttentionForward& results, std::int64_t sample,
                       std::int64_t head, const QueryTile& tile) {
  const Floats d;
  const VF infinity = hn::Set(d, std::numeric_limits<float>::infinity());
  alignas(64) float factors[most_lanes], sums[most_lanes];
  for (std::int64_t i = 0; i < panel; i += lanes) {
    const VF sum = hn::Load(d, tile.sum + i), highest = hn::Load(d, tile.highest + i);
    const auto nothing = hn::Eq(sum, hn::Zero(d));
    hn::Store(hn::IfThenZeroElse(nothing, hn::Div(hn::Set(d, 1.0f), sum)), d, factors + i);
    const VF log =
        hn::IfThenElse(hn::Lt(sum, infinity), hn::Log(d, sum), sum);  // also where it isn't a number
    const VF subtracted = hn::IfThenElseZero(hn::Gt(highest, hn::Neg(infinity)), highest);
    const VF log_sum = hn::MulAdd(subtracted, hn::Set(d, std::abs(p.scale)), log);
    hn::Store(hn::IfThenElse(nothing, hn::Neg(infinity), log_sum), d, sums + i);
  }
  std::copy_n(sums, tile.rows.size(),
              results.log_sum_exp + (sample * p.heads + head) * p.rows + tile.rows.begin);
  if (!tile.has_out) std::fill_n(tile.out, panel * round_up(p.width, 8), 0.0f);
  auto* out = static_cast<E*>(results.out.data) + sample * results.out.batch + head * results.out.head;
  unpack_transposed<E>(tile.out, factors, tile.rows.size(), p.width, out + tile.rows.begin * results.out.row,
                       results.out.row);
}

/// One group of queries of one head.
template <class Engine, class E>
void forward_group(const IntervalAttention& p, const AttentionForward& results, std::int64_t sample,
                   std::int64_t head, Range group, ForwardScratch& scratch) {
  const std::int64_t words = round_up(words_of<Engine>(p.width), 4), columns = round_up(p.width, 8);
  const std::int64_t kv_head = head / (p.heads / p.kv_heads);
  const std::uint64_t stream =
      p.dropout.threshold > 0 ? p.dropout.streams[static_cast<std::size_t>(sample * p.heads + head)] : 0;

  const auto ranges = tiles_of(p.pattern, p.query_offset + group.begin, group.size(), panel);
  std::vector<QueryTile> tiles(ranges.size());
  const auto count = static_cast<std::int64_t>(tiles.size());
  float* queries = scratch.queries.take(count * panel * words);
  float* out = scratch.out.take(count * panel * columns);
  Interval all{p.keys, 0};
  for (std::size_t i = 0; i < tiles.size(); ++i) {
    QueryTile& tile = tiles[i];
    tile.rows = {group.begin + ranges[i].begin, group.begin + ranges[i].end};
    tile.keys.set(p, sample, tile.rows);
    tile.queries = queries + static_cast<std::int64_t>(i) * panel * words;
    tile.out = out + static_cast<std::int64_t>(i) * panel * columns;
    std::fill_n(tile.highest, panel, -std::numeric_limits<float>::infinity());
    std::fill_n(tile.sum, panel, 0.0f);
    if (tile.keys.all.size() == 0) continue;
    if (tile.rows.size() < panel) std::fill(tile.queries, tile.queries + panel * words, 0.0f);
    pack_right<Engine, E>(rows_at<E>(p.q, sample, head, tile.rows.begin), tile.rows.size(), p.width,
                          tile.queries, p.scale < 0);
    all = {std::min(all.lo, tile.keys.all.lo), std::max(all.hi, tile.keys.all.hi)};
  }

  constexpr std::int64_t depth = key_chunk / Engine::group;
  const Left keys(scratch.keys.take(Left::size(key_chunk, words)), words);
  const Left values(scratch.values.take(Left::size(round_up(columns, 16), depth)), depth);
  for (std::int64_t begin = all.lo; begin < all.hi; begin += key_chunk) {
    const std::int64_t size = std::min(key_chunk, all.hi - begin);
    pack_left<Engine, E>(rows_at<E>(p.k, sample, kv_head, begin), size, p.width, keys);
    pack_rows<Engine, E>(rows_at<E>(p.v.data != nullptr ? p.v : p.k, sample, kv_head, begin), size, p.width,
                         values);
    const auto sees_some = [&](const QueryTile& tile) {
      return tile.keys.all.lo < begin + size && begin < tile.keys.all.hi;
    };
    const std::int64_t parts = std::count_if(tiles.begin(), tiles.end(), sees_some);
    std::int64_t at = 0;
    for (QueryTile& tile : tiles) {
      if (!sees_some(tile)) continue;
      const std::int64_t part = at++;
      const auto next = [&](std::int64_t from, std::int64_t many, std::int64_t all_rows) {
        return share_of_rows(from, many, all_rows, part, parts);
      };
      const Range next_keys = next(begin + key_chunk, key_chunk, p.keys);
      const Range next_queries =
          begin + key_chunk >= all.hi ? next(group.end, group.size(), p.rows) : Range{};
      const auto prefetch = [&](std::int64_t step, std::int64_t steps) {
        prefetch_rows<E>(p.k, sample, kv_head, part_of(next_keys, step, steps), p.width);
        prefetch_rows<E>(p.v, sample, kv_head, part_of(next_keys, step, steps), p.width);
        prefetch_rows<E>(p.q, sample, head, part_of(next_queries, step, steps), p.width);
      };
      attend<Engine>(p, stream, tile, {begin, size, keys, values}, columns, scratch, prefetch);
      // Right after the last chunk: while what is written goes to memory others are worked on.
      if (tile.keys.all.hi <= begin + size) finish<E>(p, results, sample, head, tile);
    }
  }
  for (const QueryTile& tile : tiles) {
    if (tile.keys.all.size() == 0) finish<E>(p, results, sample, head, tile);
  }
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

/// bfloat16 on tiles of AMX.
bool on_tiles(const IntervalAttention& p) {
  return p.element == Element::bfloat16 && isa_in_use() >= Isa::amx_bf16;
}

std::vector<Range> groups_of(const IntervalAttention& p) {
  return tiles_of(p.pattern, p.query_offset, p.rows, on_tiles(p) ? amx::query_group : query_group);
}

/// run(sample, head, group of queries) for tasks [begin, end).
template <class Run>
void each_task(const IntervalAttention& p, std::int64_t begin, std::int64_t end, const Run& run) {
  const DenormalsAreZero denormals;
  const std::vector<Range> groups = groups_of(p);
  const auto count = static_cast<std::int64_t>(groups.size());
  for (std::int64_t task = begin; task < end; ++task) {
    run(task / count / p.heads, task / count % p.heads, groups[static_cast<std::size_t>(task % count)]);
  }
  hwy::FlushStream();  // results that went past the caches, before others read them
}
}  // namespace

std::int64_t forward_tasks(const IntervalAttention& p) {
  return p.batch * p.heads * static_cast<std::int64_t>(groups_of(p).size());
}

void forward(const IntervalAttention& p, const AttentionForward& results, std::int64_t begin,
             std::int64_t end) {
  if (on_tiles(p)) {
    const amx::Tiles tiles;
    with_scratch<amx::ForwardScratch>(true, [&](amx::ForwardScratch& scratch) {
      each_task(p, begin, end, [&](std::int64_t sample, std::int64_t head, Range group) {
        amx::forward_group(p, results, sample, head, group, scratch);
      });
    });
    return;
  }
  const bool pairs = isa_in_use() >= Isa::avx512_bf16;
  with_scratch<ForwardScratch>(true, [&](ForwardScratch& scratch) {
    each_task(p, begin, end, [&](std::int64_t sample, std::int64_t head, Range group) {
      if (p.element == Element::float32) {
        HWY_DYNAMIC_DISPATCH(forward_float32)(p, results, sample, head, group, scratch);
      } else {
        HWY_DYNAMIC_DISPATCH(forward_bfloat16)(p, results, sample, head, group, pairs, scratch);
      }
    });
  });
}

}  // namespace ecp::kernels
#endif
