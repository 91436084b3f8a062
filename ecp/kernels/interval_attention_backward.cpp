#include <cmath>
#include <deque>
#include <limits>
#include <memory>
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
#define HWY_TARGET_INCLUDE "ecp/kernels/interval_attention_backward.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first: it re-includes this file once per instruction set.
#include "ecp/kernels/packing-inl.h"

#ifndef ECP_INTERVAL_ATTENTION_BACKWARD_ONCE
#define ECP_INTERVAL_ATTENTION_BACKWARD_ONCE
namespace ecp::kernels {

// A tile of keys is walked over by the tiles of queries that see it: its gradients are whole at the end of
// that. Tiles of queries are open from the first tile of keys they see to the last, and their gradients with
// them.
constexpr std::int64_t backward_queries = 64;
constexpr std::int64_t backward_keys = 128;
constexpr std::int64_t most_kept_rows = 4096;

/// A tile of queries of one head between its first and its last key.
struct OpenTile {
  Range rows;
  TileKeys keys;
  Scratch grad;    // [columns, query], dq without `scale`
  Scratch packed;  // queries and gradients as products take them, once they are
  bool is_packed = false;
  float log_sum[backward_queries];  // times log2 e
  float delta[backward_queries];    // Σ out · grad_out of each row
};

struct BackwardScratch {
  Scratch keys, values, key_rows, grad_keys, grad_values;  // of a tile of keys
  Scratch packed;                                          // of a tile of queries that doesn't keep it
  Scratch scores, grad_scores, probability_words, grad_words, grad_transposed, grad_pairs;  // of the two
  std::vector<std::unique_ptr<OpenTile>> unused;
};

}  // namespace ecp::kernels
#endif

HWY_BEFORE_NAMESPACE();
#if ECP_PAIRS
#pragma GCC push_options
#pragma GCC target("avx512bf16")
#endif
namespace ecp::kernels::HWY_NAMESPACE {

// Columns of packed queries: whole vectors where they are lanes, whole panels where they are rows.
constexpr std::int64_t tile_multiple = lanes > 8 ? lanes : 8;

/// Keys, counted from the tile's first, that a row sees of a tile of keys.
struct Visible {
  std::int32_t lo[backward_queries], hi[backward_queries];
};

/// The vectors [begin, end) of `lanes` columns that some of the rows [first, last) see.
HWY_INLINE Range vectors_seen(const Visible& visible, std::int64_t first, std::int64_t last) {
  Range range{INT64_MAX, 0};
  for (std::int64_t i = first; i < last; ++i) {
    if (visible.lo[i] >= visible.hi[i]) continue;
    range.begin = std::min<std::int64_t>(range.begin, visible.lo[i] / lanes);
    range.end = std::max<std::int64_t>(range.end, (visible.hi[i] + lanes - 1) / lanes);
  }
  return range.end == 0 ? Range{} : range;
}

/// Rows [begin, end) that see some of the columns [lo, hi).
HWY_INLINE Range rows_seeing(const Visible& visible, std::int64_t count, std::int64_t lo, std::int64_t hi) {
  Range range{count, 0};
  for (std::int64_t i = 0; i < count; ++i) {
    if (std::max<std::int64_t>(visible.lo[i], lo) >= std::min<std::int64_t>(visible.hi[i], hi)) continue;
    range.begin = std::min(range.begin, i);
    range.end = i + 1;
  }
  return range.empty() ? Range{} : range;
}

/// The columns that some of the rows [first, last) see.
HWY_INLINE Range columns_seen(const Visible& visible, std::int64_t first, std::int64_t last) {
  Range range{INT64_MAX, 0};
  for (std::int64_t i = first; i < last; ++i) {
    if (visible.lo[i] >= visible.hi[i]) continue;
    range.begin = std::min<std::int64_t>(range.begin, visible.lo[i]);
    range.end = std::max<std::int64_t>(range.end, visible.hi[i]);
  }
  return range.end == 0 ? Range{} : range;
}

/// to[row, column] = Σ_w left[w, row] · right[w, column], eight rows at a time, for the vectors that they
/// see.
template <class Engine>
HWY_INLINE void score(const Visible& visible, std::int64_t count, std::int64_t words, ReadWords left,
                      ReadWords right, WriteWords to) {
  for (std::int64_t begin = 0; begin < count;) {
    const Range range = vectors_seen(visible, begin, std::min(begin + 8, count));
    std::int64_t end = begin + 8;
    for (; end < count; end += 8) {
      const Range next = vectors_seen(visible, end, std::min(end + 8, count));
      if (next.begin != range.begin || next.end != range.end) break;
    }
    if (!range.empty()) {
      multiply<Engine, false>(end - begin, range.size() * lanes, words, left.at(0, begin),
                              right.at(0, range.begin * lanes), to.at(begin, range.begin * lanes));
    }
    begin = end;
  }
}

/// Of one vector of scores and gradients of probabilities: probabilities (as dropout left them) and gradients
/// of scores.
struct Softmax {
  VF p, ds;
};
HWY_INLINE Softmax softmax_backward(const float* scores, const float* grads, float factor, float log_sum,
                                    float delta, const float* dropout) {
  const Floats d;
  const VF p = exp2(hn::MulSub(hn::LoadU(d, scores), hn::Set(d, factor), hn::Set(d, log_sum)));
  const VF grad = hn::LoadU(d, grads), subtract = hn::Set(d, delta);
  if (dropout == nullptr) return {p, hn::Mul(p, hn::Sub(grad, subtract))};
  const VF kept = hn::LoadU(d, dropout);
  return {hn::Mul(p, kept), hn::Mul(p, hn::MulSub(grad, kept, subtract))};
}

template <class E>
HWY_INLINE void write_rows(const WriteRows& x, std::int64_t sample, std::int64_t head, Range rows,
                           std::int64_t width, ReadWords from, const float* factors) {
  auto* to = static_cast<E*>(x.data) + sample * x.batch + head * x.head + rows.begin * x.row;
  unpack_transposed<E>(from, factors, rows.size(), width, to, x.row);
}

template <class Engine, class E>
class Backward {
 public:
  Backward(const IntervalAttention& problem, const AttentionBackward& gradients, std::int64_t sample,
           std::int64_t kv_head, BackwardScratch& scratch)
      : p_(problem), g_(gradients), s_(scratch), sample_(sample), kv_head_(kv_head) {}

  void run() {
    const auto query_tiles = tiles_of(p_.pattern, p_.query_offset, p_.rows, backward_queries);
    const auto key_tiles = tiles_of(p_.pattern, p_.key_offset, p_.keys, backward_keys);
    const std::int64_t group = p_.heads / p_.kv_heads;
    std::vector<std::deque<std::unique_ptr<OpenTile>>> open(static_cast<std::size_t>(group));
    for (float& factor : scales_) factor = p_.scale;
    std::size_t next = 0;
    const auto head_of = [&](std::int64_t i) { return kv_head_ * group + i; };
    const auto open_next = [&] {
      for (std::int64_t i = 0; i < group; ++i) {
        open[static_cast<std::size_t>(i)].push_back(opened(head_of(i), query_tiles[next]));
      }
      ++next;
    };
    const auto close_first = [&] {
      for (std::int64_t i = 0; i < group; ++i) {
        auto& tiles = open[static_cast<std::size_t>(i)];
        close(head_of(i), std::move(tiles.front()));
        tiles.pop_front();
      }
    };
    for (const Range keys : key_tiles) {
      // By the pattern alone, whose intervals never go back from a row to the next.
      while (next < query_tiles.size() &&
             p_.pattern.at(p_.query_offset + query_tiles[next].begin).lo < p_.key_offset + keys.end) {
        open_next();
      }
      while (!open[0].empty() && !reaches(open[0].front()->rows, keys.begin)) close_first();
      begin_keys(keys);
      for (std::int64_t i = 0; i < group; ++i) {
        for (const auto& tile : open[static_cast<std::size_t>(i)]) {
          if (tile->keys.all.lo < keys.end && keys.begin < tile->keys.all.hi) add(head_of(i), *tile, keys);
        }
      }
      end_keys(keys);
    }
    while (next < query_tiles.size()) {
      while (!open[0].empty()) close_first();
      open_next();
    }
    while (!open[0].empty()) close_first();
  }

 private:
  /// Whether some row of the tile may see keys from `key` on.
  [[nodiscard]] bool reaches(Range rows, std::int64_t key) const {
    return p_.pattern.at(p_.query_offset + rows.end - 1).hi > p_.key_offset + key;
  }

  std::unique_ptr<OpenTile> opened(std::int64_t head, Range rows) {
    std::unique_ptr<OpenTile> tile;
    if (s_.unused.empty()) {
      tile = std::make_unique<OpenTile>();
    } else {
      tile = std::move(s_.unused.back());
      s_.unused.pop_back();
    }
    tile->rows = rows;
    tile->is_packed = false;
    tile->keys.set(p_, sample_, rows);
    const std::int64_t width = round_up(rows.size(), tile_multiple);
    fill({tile->grad.take(columns_ * backward_queries), width}, columns_, width, 0);
    const auto out = rows_at<E>(g_.out, sample_, head, rows.begin);
    const auto grad = rows_at<E>(g_.grad_out, sample_, head, rows.begin);
    const float* sums = g_.log_sum_exp + (sample_ * p_.heads + head) * p_.rows + rows.begin;
    for (std::int64_t i = 0; i < rows.size(); ++i) {
      tile->delta[i] = row_dot(out.data + i * out.stride, grad.data + i * grad.stride, p_.width);
      tile->log_sum[i] = sums[i] * std::numbers::log2e_v<float>;
    }
    return tile;
  }

  void close(std::int64_t head, std::unique_ptr<OpenTile> tile) {
    const std::int64_t width = round_up(tile->rows.size(), tile_multiple);
    write_rows<E>(g_.grad_q, sample_, head, tile->rows, p_.width,
                  {tile->grad.take(columns_ * backward_queries), width}, scales_);
    s_.unused.push_back(std::move(tile));
  }

  void begin_keys(Range keys) {
    const std::int64_t count = keys.size();
    key_width_ = round_up(count, lanes);
    const auto k = rows_at<E>(p_.k, sample_, kv_head_, keys.begin);
    keys_ = {s_.keys.take(words4_ * backward_keys), key_width_};
    pack_transposed<Engine, E>(k, count, p_.width, keys_);
    values_ = keys_;
    if (p_.v.data != nullptr) {
      values_ = {s_.values.take(words4_ * backward_keys), key_width_};
      pack_transposed<Engine, E>(rows_at<E>(p_.v, sample_, kv_head_, keys.begin), count, p_.width, values_);
    }
    key_rows_ = {s_.key_rows.take(backward_keys * columns_), columns_};
    pack_rows<Engine, E>(k, count, p_.width, key_rows_);
    grad_keys_ = {s_.grad_keys.take(columns_ * backward_keys), key_width_};
    grad_values_ = {s_.grad_values.take(columns_ * backward_keys), key_width_};
    fill(grad_keys_, columns_, key_width_, 0);
    fill(grad_values_, columns_, key_width_, 0);
  }

  void end_keys(Range keys) {
    if (g_.grad_v.data != nullptr) {
      write_rows<E>(g_.grad_k, sample_, kv_head_, keys, p_.width, grad_keys_, scales_);
      write_rows<E>(g_.grad_v, sample_, kv_head_, keys, p_.width, grad_values_, nullptr);
      return;
    }
    const Floats d;
    const VF scale = hn::Set(d, p_.scale);
    for (std::int64_t i = 0; i < columns_ * key_width_; i += lanes) {
      float* sum = grad_keys_.data + i;
      hn::StoreU(hn::MulAdd(hn::LoadU(d, sum), scale, hn::LoadU(d, grad_values_.data + i)), d, sum);
    }
    write_rows<E>(g_.grad_k, sample_, kv_head_, keys, p_.width, grad_keys_, nullptr);
  }

  struct PackedQueries {
    WriteWords queries, grads;         // [words, query]
    WriteWords query_rows, grad_rows;  // [query / group, column]
  };

  /// A tile's queries and gradients; packed once if it may be kept.
  PackedQueries packed(std::int64_t head, OpenTile& tile) {
    const std::int64_t count = tile.rows.size(), width = round_up(count, tile_multiple);
    const std::int64_t across = words4_ * backward_queries, along = columns_ * backward_queries;
    Scratch& memory = keeps_packed_ ? tile.packed : s_.packed;
    float* at = memory.take(2 * (across + along));
    const PackedQueries all{
        {at, width}, {at + across, width}, {at + 2 * across, columns_}, {at + 2 * across + along, columns_}};
    if (keeps_packed_ && tile.is_packed) return all;
    tile.is_packed = true;
    const auto q = rows_at<E>(p_.q, sample_, head, tile.rows.begin);
    const auto grad = rows_at<E>(g_.grad_out, sample_, head, tile.rows.begin);
    pack_transposed<Engine, E>(q, count, p_.width, all.queries, p_.scale < 0);
    pack_transposed<Engine, E>(grad, count, p_.width, all.grads);
    pack_rows<Engine, E>(q, count, p_.width, all.query_rows);
    pack_rows<Engine, E>(grad, count, p_.width, all.grad_rows);
    return all;
  }

  /// What a tile of queries and one of keys give each other's gradients.
  void add(std::int64_t head, OpenTile& tile, Range keys) {
    const std::int64_t count = tile.rows.size(), width = round_up(count, tile_multiple);
    Visible visible;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t shift = tile.keys.all.lo - keys.begin;
      const auto row = static_cast<std::size_t>(i);
      const std::int64_t lo = std::clamp<std::int64_t>(tile.keys.lo[row] + shift, 0, keys.size());
      const std::int64_t hi = std::clamp<std::int64_t>(tile.keys.hi[row] + shift, lo, keys.size());
      const bool none = tile.log_sum[i] == -std::numeric_limits<float>::infinity();
      visible.lo[i] = static_cast<std::int32_t>(lo);
      visible.hi[i] = static_cast<std::int32_t>(none ? lo : hi);
    }
    const auto [queries, grads, query_rows, grad_rows] = packed(head, tile);

    const WriteWords scores{s_.scores.take(backward_queries * backward_keys), key_width_};
    const WriteWords grad_scores{s_.grad_scores.take(backward_queries * backward_keys), key_width_};
    const std::int64_t words = words_of<Engine>(p_.width);
    score<Engine>(visible, count, words, queries, keys_, scores);
    score<Engine>(visible, count, words, grads, values_, grad_scores);
    softmax(head, tile, keys, visible, scores, grad_scores);

    ReadWords p = scores, ds = grad_scores;  // [query / group, key]
    const WriteWords transposed{
        s_.grad_transposed.take((words_of<Engine>(backward_keys) + 4) * backward_queries), width};
    if constexpr (Engine::group == 1) {
      pack_transposed<FloatWords, float>({ds.data, ds.stride}, count, keys.size(), transposed);
    } else {
      p = {s_.probability_words.take(backward_queries / 2 * backward_keys), key_width_};
      ds = {s_.grad_words.take(backward_queries / 2 * backward_keys), key_width_};
      const auto* pairs =
          reinterpret_cast<const std::uint16_t*>(s_.grad_pairs.take(backward_queries * backward_keys / 2));
      pack_transposed<Engine, std::uint16_t>({pairs, key_width_}, count, keys.size(), transposed);
    }
    constexpr std::int64_t together = 2 * lanes;
    for (std::int64_t c = 0; c < key_width_; c += together) {
      const std::int64_t columns = std::min(together, key_width_ - c);
      const Range rows = rows_seeing(visible, count, c, c + columns);
      if (rows.empty()) continue;
      const std::int64_t first = rows.begin / Engine::group, depth = words_of<Engine>(rows.end) - first;
      multiply<Engine, true>(columns_, columns, depth, ReadWords(grad_rows).at(first, 0), p.at(first, c),
                             grad_values_.at(0, c));
      multiply<Engine, true>(columns_, columns, depth, ReadWords(query_rows).at(first, 0), ds.at(first, c),
                             grad_keys_.at(0, c));
    }
    const WriteWords sum{tile.grad.take(columns_ * backward_queries), width};
    for (std::int64_t c = 0; c < width; c += together) {
      const std::int64_t columns = std::min(together, width - c);
      const Range seen = columns_seen(visible, c, std::min(c + columns, count));
      if (seen.empty()) continue;
      const std::int64_t first = seen.begin / Engine::group, depth = words_of<Engine>(seen.end) - first;
      multiply<Engine, true>(columns_, columns, depth, ReadWords(key_rows_).at(first, 0),
                             ReadWords(transposed).at(first, c), sum.at(0, c));
    }
  }

  /// Scores and gradients of probabilities become, in place, probabilities and gradients of scores; for pairs
  /// also the words that sums over queries and over keys take.
  void softmax(std::int64_t head, const OpenTile& tile, Range keys, const Visible& visible, WriteWords scores,
               WriteWords grads) {
    const Floats d;
    const float factor = std::abs(p_.scale) * std::numbers::log2e_v<float>;
    const std::int64_t count = tile.rows.size();
    float buffer[backward_keys + 256];
    for (std::int64_t i = 0; i < round_up(count, Engine::group); ++i) {
      const std::int64_t lo = i < count ? visible.lo[i] : 0, hi = i < count ? visible.hi[i] : 0;
      const float* dropout = nullptr;
      if (p_.dropout.threshold > 0 && lo < hi) {
        dropout = dropout_row(p_.dropout.streams[static_cast<std::size_t>(sample_ * p_.heads + head)],
                              p_.query_offset + tile.rows.begin + i, p_.key_offset + keys.begin, key_width_,
                              p_.dropout.threshold, p_.dropout.kept, buffer);
      }
      float* s = scores.data + i * scores.stride;
      float* g = grads.data + i * grads.stride;
      for (std::int64_t c = 0; c < key_width_; c += lanes) {
        if (c >= hi || c + lanes <= lo) {
          hn::StoreU(hn::Zero(d), d, s + c);
          hn::StoreU(hn::Zero(d), d, g + c);
          continue;
        }
        Softmax of = softmax_backward(s + c, g + c, factor, tile.log_sum[i], tile.delta[i],
                                      dropout != nullptr ? dropout + c : nullptr);
        if (c < lo || c + lanes > hi) {
          const auto column = hn::Iota(d, static_cast<float>(c));
          const auto seen = hn::And(hn::Ge(column, hn::Set(d, static_cast<float>(lo))),
                                    hn::Lt(column, hn::Set(d, static_cast<float>(hi))));
          of = {hn::IfThenElseZero(seen, of.p), hn::IfThenElseZero(seen, of.ds)};
        }
        hn::StoreU(of.p, d, s + c);
        hn::StoreU(of.ds, d, g + c);
      }
    }
    if constexpr (Engine::group == 2) pair(count, scores, grads);
  }

#if ECP_PAIRS
  void pair(std::int64_t count, ReadWords p, ReadWords ds) {
    const Floats d;
    float* p_words = s_.probability_words.take(backward_queries / 2 * backward_keys);
    float* ds_words = s_.grad_words.take(backward_queries / 2 * backward_keys);
    float* pairs = s_.grad_pairs.take(backward_queries * backward_keys / 2);
    for (std::int64_t i = 0; i < count; i += 2) {
      for (std::int64_t c = 0; c < key_width_; c += lanes) {
        const float* above = p.data + i * p.stride + c;
        hn::StoreU(interleave_pairs(hn::LoadU(d, above), hn::LoadU(d, above + p.stride)), d,
                   p_words + i / 2 * key_width_ + c);
        above = ds.data + i * ds.stride + c;
        hn::StoreU(interleave_pairs(hn::LoadU(d, above), hn::LoadU(d, above + ds.stride)), d,
                   ds_words + i / 2 * key_width_ + c);
      }
      for (std::int64_t row = i; row < i + 2; ++row) {
        for (std::int64_t c = 0; c < key_width_; c += 2 * lanes) {
          const float* from = ds.data + row * ds.stride + c;
          const VF upper = c + lanes < key_width_ ? hn::LoadU(d, from + lanes) : hn::Zero(d);
          float* to = pairs + (row * key_width_ + c) / 2;
          const VF both = concatenate_pairs(hn::LoadU(d, from), upper);
          if (c + lanes < key_width_) {
            hn::StoreU(both, d, to);
          } else {
            const hn::Half<Floats> half;
            hn::StoreU(hn::LowerHalf(half, both), half, to);
          }
        }
      }
    }
  }
#else
  void pair(std::int64_t, ReadWords, ReadWords) {}
#endif

  const IntervalAttention& p_;
  const AttentionBackward& g_;
  BackwardScratch& s_;
  const std::int64_t sample_, kv_head_;
  const std::int64_t words4_ = round_up(words_of<Engine>(p_.width), 4), columns_ = round_up(p_.width, 8);
  // Tiles that stay open for long are many, and packed again for each tile of keys.
  const bool keeps_packed_ = p_.pattern.bounded() && p_.pattern.halo() <= most_kept_rows;
  std::int64_t key_width_ = 0;
  WriteWords keys_{}, values_{}, key_rows_{}, grad_keys_{}, grad_values_{};
  float scales_[backward_keys];
};

void backward_float32(const IntervalAttention& p, const AttentionBackward& gradients, std::int64_t sample,
                      std::int64_t kv_head, BackwardScratch& scratch) {
  Backward<FloatWords, float>(p, gradients, sample, kv_head, scratch).run();
}

void backward_bfloat16(const IntervalAttention& p, const AttentionBackward& gradients, std::int64_t sample,
                       std::int64_t kv_head, bool pairs, BackwardScratch& scratch) {
#if ECP_PAIRS
  if (pairs) return Backward<PairWords, std::uint16_t>(p, gradients, sample, kv_head, scratch).run();
#endif
  (void)pairs;
  Backward<FloatWords, std::uint16_t>(p, gradients, sample, kv_head, scratch).run();
}

}  // namespace ecp::kernels::HWY_NAMESPACE
#if ECP_PAIRS
#pragma GCC pop_options
#endif
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ecp::kernels {
namespace {
HWY_EXPORT(backward_float32);
HWY_EXPORT(backward_bfloat16);
}  // namespace

std::int64_t backward_tasks(const IntervalAttention& p) { return p.batch * p.kv_heads; }

void backward(const IntervalAttention& p, const AttentionBackward& gradients, std::int64_t begin,
              std::int64_t end) {
  const bool pairs = isa_in_use() >= Isa::avx512_bf16;
  const DenormalsAreZero denormals;
  BackwardScratch scratch;
  for (std::int64_t task = begin; task < end; ++task) {
    const std::int64_t kv_head = task % p.kv_heads, sample = task / p.kv_heads;
    if (p.element == Element::float32) {
      HWY_DYNAMIC_DISPATCH(backward_float32)(p, gradients, sample, kv_head, scratch);
    } else {
      HWY_DYNAMIC_DISPATCH(backward_bfloat16)(p, gradients, sample, kv_head, pairs, scratch);
    }
  }
}

}  // namespace ecp::kernels
#endif
