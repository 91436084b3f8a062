#include <hwy/cache_control.h>

#include <cmath>
#include <limits>
#include <numbers>

#include "ecp/kernels/amx.h"
#include "ecp/kernels/attention_tiles.h"
#include "ecp/kernels/attention_walk.h"
#include "ecp/kernels/denormals.h"
#include "ecp/kernels/dropout.h"
#include "ecp/kernels/interval_attention.h"
#include "ecp/kernels/interval_attention_amx.h"
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
constexpr std::int64_t backward_queries = TileKeys::most_rows;
constexpr std::int64_t backward_keys = 128;

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
  Scratch scores, grad_scores, transposed, pairs;          // of the two
  TilePool<OpenTile> tiles;
};

}  // namespace ecp::kernels
#endif

HWY_BEFORE_NAMESPACE();
#if ECP_PAIRS
#pragma GCC push_options
#pragma GCC target("avx512bf16")
#endif
namespace ecp::kernels::HWY_NAMESPACE {

constexpr std::int64_t query_panels = backward_queries / panel;

/// What the rows of a tile of queries see of a range of keys, counted from its first.
struct Visible {
  std::int32_t lo[backward_queries], hi[backward_queries];
  std::int64_t count;                   // rows
  std::int32_t all_lo = 0, all_hi = 0;  // keys that every row sees
  bool everything = false;  // every row sees all keys: most tiles, which needn't be looked at row by row

  /// What `tile` sees of `keys`.
  Visible(const OpenTile& tile, Range keys) : count(tile.rows.size()) {
    const auto shift = static_cast<std::int32_t>(tile.keys.all.lo - keys.begin);
    const auto size = static_cast<std::int32_t>(keys.size());
    all_hi = size;
    for (std::int64_t i = 0; i < count; ++i) {
      lo[i] = std::clamp(tile.keys.lo[i] + shift, 0, size);
      const bool none = tile.log_sum[i] == -std::numeric_limits<float>::infinity();
      hi[i] = none ? lo[i] : std::clamp(tile.keys.hi[i] + shift, lo[i], size);
      all_lo = std::max(all_lo, lo[i]);
      all_hi = std::min(all_hi, hi[i]);
    }
    everything = all_lo == 0 && all_hi == size;
  }

  /// The keys that some of rows [first, last) see.
  [[nodiscard]] Range keys_seen(std::int64_t first, std::int64_t last) const {
    if (everything && first < count) return {0, hi[0]};
    Range range{INT64_MAX, 0};
    for (std::int64_t i = first; i < std::min(last, count); ++i) {
      if (lo[i] >= hi[i]) continue;
      range.begin = std::min<std::int64_t>(range.begin, lo[i]);
      range.end = std::max<std::int64_t>(range.end, hi[i]);
    }
    return range.end == 0 ? Range{} : range;
  }
  /// The rows from the first to the last that sees something.
  [[nodiscard]] Range rows_seeing() const {
    if (everything) return {0, count};
    Range range{count, 0};
    for (std::int64_t i = 0; i < count; ++i) {
      if (lo[i] < hi[i]) range = {std::min(range.begin, i), i + 1};
    }
    return range.empty() ? Range{} : range;
  }
  /// The same of keys [first, first + size).
  [[nodiscard]] Visible part(std::int32_t first, std::int32_t size) const {
    Visible of = *this;
    of.all_lo = std::clamp(all_lo - first, 0, size);
    of.all_hi = std::clamp(all_hi - first, 0, size);
    of.everything = of.all_lo == 0 && of.all_hi == size;
    for (std::int64_t i = 0; i < count; ++i) {
      of.lo[i] = std::clamp(lo[i] - first, 0, size);
      of.hi[i] = std::clamp(hi[i] - first, of.lo[i], size);
    }
    return of;
  }
};

/// to[row, panel] = Σ_w left[w, row] · right[w, column] of a panel of keys, eight rows at a time, for the
/// vectors that they see.
template <class Engine>
HWY_INLINE void score(const Visible& visible, std::int64_t words, const Left& left, const float* right,
                      float* to) {
  const auto needed = [&](std::int64_t row) {
    const Range keys = visible.keys_seen(row, row + left_rows);
    return Range{keys.begin / lanes, (keys.end + lanes - 1) / lanes};
  };
  for (std::int64_t begin = 0; begin < visible.count;) {
    const Range range = needed(begin);
    std::int64_t end = begin + left_rows;
    for (; end < visible.count; end += left_rows) {
      const Range next = needed(end);
      if (next.begin != range.begin || next.end != range.end) break;
    }
    if (!range.empty()) {
      multiply<Engine, false>(end - begin, range.size(), words, left, 0, begin, right + range.begin * lanes,
                              to + begin * panel + range.begin * lanes);
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

/// Rows from panels [panel, columns, panel], times factors[0 … panel) or 1.
template <class E>
HWY_INLINE void write_rows(const WriteRows& x, std::int64_t sample, std::int64_t head, Range rows,
                           std::int64_t width, const float* from, const float* factors) {
  auto* to = static_cast<E*>(x.data) + sample * x.batch + head * x.head;
  for (std::int64_t row = rows.begin; row < rows.end;
       row += panel, from += round_up(width, left_rows) * panel) {
    unpack_transposed<E>(from, factors, std::min(panel, rows.end - row), width, to + row * x.row, x.row);
  }
}

template <class Engine, class E>
class Backward {
 public:
  Backward(const IntervalAttention& problem, const AttentionBackward& gradients, std::int64_t sample,
           std::int64_t kv_head, BackwardScratch& scratch)
      : p_(problem), g_(gradients), s_(scratch), sample_(sample), kv_head_(kv_head) {}

  void run() {
    for (float& factor : scales_) factor = p_.scale;
    walk_backward(p_, backward_queries, backward_keys, s_.tiles, *this);
  }

  // What the walk calls (attention_walk.h).

  void open(std::int64_t head, OpenTile& tile, Range rows) {
    tile.rows = rows;
    tile.is_packed = false;
    tile.keys.set(p_, sample_, rows);
    std::fill_n(tile.grad.take(columns_ * backward_queries), columns_ * backward_queries, 0.0f);
    const auto out = rows_at<E>(g_.out, sample_, head_of(head), rows.begin);
    const auto grad = rows_at<E>(g_.grad_out, sample_, head_of(head), rows.begin);
    const float* sums = g_.log_sum_exp + (sample_ * p_.heads + head_of(head)) * p_.rows + rows.begin;
    for (std::int64_t i = 0; i < rows.size(); ++i) {
      tile.delta[i] = row_dot(out.data + i * out.stride, grad.data + i * grad.stride, p_.width);
      tile.log_sum[i] = sums[i] * std::numbers::log2e_v<float>;
    }
  }

  void close(std::int64_t head, OpenTile& tile) {
    write_rows<E>(g_.grad_q, sample_, head_of(head), tile.rows, p_.width,
                  tile.grad.take(columns_ * backward_queries), scales_);
  }

  void begin_keys(Range keys) {
    const auto pack = [&](const ReadRows& rows, Scratch& scratch) {
      float* to = scratch.take(words4_ * backward_keys);
      for (std::int64_t first = 0; first < keys.size(); first += panel) {
        pack_right<Engine, E>(rows_at<E>(rows, sample_, kv_head_, keys.begin + first),
                              std::min(panel, keys.size() - first), p_.width, to + first * words4_);
      }
      return to;
    };
    keys_ = pack(p_.k, s_.keys);
    values_ = p_.v.data != nullptr ? pack(p_.v, s_.values) : keys_;
    constexpr std::int64_t depth = backward_keys / Engine::group;
    key_rows_ = {s_.key_rows.take(Left::size(round_up(columns_, 16), depth)), depth};
    pack_rows<Engine, E>(rows_at<E>(p_.k, sample_, kv_head_, keys.begin), keys.size(), p_.width, key_rows_);
    grad_keys_ = s_.grad_keys.take(columns_ * backward_keys);
    grad_values_ = s_.grad_values.take(columns_ * backward_keys);
    std::fill_n(grad_keys_, columns_ * backward_keys, 0.0f);
    std::fill_n(grad_values_, columns_ * backward_keys, 0.0f);
  }

  void end_keys(Range keys) {
    if (g_.grad_v.data != nullptr) {
      write_rows<E>(g_.grad_k, sample_, kv_head_, keys, p_.width, grad_keys_, scales_);
      write_rows<E>(g_.grad_v, sample_, kv_head_, keys, p_.width, grad_values_, nullptr);
      return;
    }
    const Floats d;
    const VF scale = hn::Set(d, p_.scale);
    for (std::int64_t i = 0; i < columns_ * backward_keys; i += lanes) {
      float* sum = grad_keys_ + i;
      hn::StoreU(hn::MulAdd(hn::LoadU(d, sum), scale, hn::LoadU(d, grad_values_ + i)), d, sum);
    }
    write_rows<E>(g_.grad_k, sample_, kv_head_, keys, p_.width, grad_keys_, nullptr);
  }

  /// What a tile of queries and one of keys give each other's gradients.
  void add(std::int64_t head, OpenTile& tile, Range keys, const Upcoming& upcoming) {
    const Visible visible(tile, keys);
    const auto [queries, grads, query_rows, grad_rows] = packed(head_of(head), tile);
    const std::int64_t words = words_of<Engine>(p_.width);
    float* p = s_.scores.take(backward_queries * panel);
    float* ds = s_.grad_scores.take(backward_queries * panel);
    float* transposed = s_.transposed.take(query_panels * transposed_panel);
    for (std::int64_t first = 0; first < keys.size(); first += panel) {
      const std::int64_t size = std::min(panel, keys.size() - first);
      const Visible seen = visible.part(static_cast<std::int32_t>(first), static_cast<std::int32_t>(size));
      const Range rows = seen.rows_seeing();
      prefetch_part<E>(upcoming, first / panel, (keys.size() + panel - 1) / panel, p_, g_, sample_, kv_head_,
                       head);
      score<Engine>(seen, words, queries, keys_ + first * words4_, p);
      score<Engine>(seen, words, grads, values_ + first * words4_, ds);
      softmax(head_of(head), tile, keys.begin + first, seen, p, ds);
      transpose_grads(seen.count, size, ds, transposed + first / Engine::group * panel);
      if (rows.empty()) continue;
      const std::int64_t k = rows.begin / Engine::group, depth = words_of<Engine>(rows.end) - k;
      to_words<Engine>(p, k * Engine::group, (k + depth) * Engine::group);
      to_words<Engine>(ds, k * Engine::group, (k + depth) * Engine::group);
      multiply<Engine, true>(columns_, 2, depth, grad_rows, k, 0, p + k * panel,
                             grad_values_ + first * columns_);
      multiply<Engine, true>(columns_, 2, depth, query_rows, k, 0, ds + k * panel,
                             grad_keys_ + first * columns_);
    }
    float* sum = tile.grad.take(columns_ * backward_queries);
    for (std::int64_t q = 0; q < query_panels; ++q) {
      const Range seen = visible.keys_seen(q * panel, (q + 1) * panel);
      if (seen.empty()) continue;
      const std::int64_t k = seen.begin / Engine::group, depth = words_of<Engine>(seen.end) - k;
      multiply<Engine, true>(columns_, 2, depth, key_rows_, k, 0,
                             transposed + q * transposed_panel + k * panel, sum + q * panel * columns_);
    }
  }

 private:
  [[nodiscard]] std::int64_t head_of(std::int64_t in_group) const {
    return kv_head_ * (p_.heads / p_.kv_heads) + in_group;
  }

  struct PackedQueries {
    Left queries, grads;         // rows are queries
    Left query_rows, grad_rows;  // rows are columns
  };

  /// A tile's queries and gradients; packed once if it may be kept.
  PackedQueries packed(std::int64_t head, OpenTile& tile) {
    const std::int64_t count = tile.rows.size(), depth = backward_queries / Engine::group;
    const std::int64_t across = Left::size(backward_queries, words4_);
    const std::int64_t along = Left::size(round_up(columns_, 16), depth);
    Scratch& memory = keeps_packed_ ? tile.packed : s_.packed;
    float* at = memory.take(2 * (across + along));
    const PackedQueries all{
        {at, words4_}, {at + across, words4_}, {at + 2 * across, depth}, {at + 2 * across + along, depth}};
    if (keeps_packed_ && tile.is_packed) return all;
    tile.is_packed = true;
    const auto q = rows_at<E>(p_.q, sample_, head, tile.rows.begin);
    const auto grad = rows_at<E>(g_.grad_out, sample_, head, tile.rows.begin);
    pack_left<Engine, E>(q, count, p_.width, all.queries, p_.scale < 0);
    pack_left<Engine, E>(grad, count, p_.width, all.grads);
    pack_rows<Engine, E>(q, count, p_.width, all.query_rows);
    pack_rows<Engine, E>(grad, count, p_.width, all.grad_rows);
    return all;
  }

  /// Scores and gradients of probabilities with a panel of keys become, in place, probabilities and gradients
  /// of scores.
  void softmax(std::int64_t head, const OpenTile& tile, std::int64_t first_key, const Visible& visible,
               float* scores, float* grads) {
    const Floats d;
    const float factor = std::abs(p_.scale) * std::numbers::log2e_v<float>;
    alignas(64) float buffer[panel + 256];
    for (std::int64_t i = 0; i < round_up(visible.count, Engine::group); ++i) {
      const std::int64_t lo = i < visible.count ? visible.lo[i] : 0,
                         hi = i < visible.count ? visible.hi[i] : 0;
      const float* dropout = nullptr;
      if (p_.dropout.threshold > 0 && lo < hi) {
        dropout = dropout_row(p_.dropout.streams[static_cast<std::size_t>(sample_ * p_.heads + head)],
                              p_.query_offset + tile.rows.begin + i, p_.key_offset + first_key, panel,
                              p_.dropout.threshold, p_.dropout.kept, buffer);
      }
      for (std::int64_t c = 0; c < panel; c += lanes) {
        float* s = scores + i * panel + c;
        float* g = grads + i * panel + c;
        if (c >= hi || c + lanes <= lo) {
          hn::StoreU(hn::Zero(d), d, s);
          hn::StoreU(hn::Zero(d), d, g);
          continue;
        }
        Softmax of = softmax_backward(s, g, factor, tile.log_sum[i], tile.delta[i],
                                      dropout != nullptr ? dropout + c : nullptr);
        if (c < lo || c + lanes > hi) {
          const auto column = hn::Iota(d, static_cast<float>(c));
          const auto seen = hn::And(hn::Ge(column, hn::Set(d, static_cast<float>(lo))),
                                    hn::Lt(column, hn::Set(d, static_cast<float>(hi))));
          of = {hn::IfThenElseZero(seen, of.p), hn::IfThenElseZero(seen, of.ds)};
        }
        hn::StoreU(of.p, d, s);
        hn::StoreU(of.ds, d, g);
      }
    }
  }

  /// The gradients of scores of a panel of keys as the right operands of sums over keys, [key / group,
  /// panel], one for each panel of queries.
  void transpose_grads(std::int64_t count, std::int64_t keys, const float* ds, float* to) {
    for (std::int64_t q = 0; q * panel < count; ++q, to += transposed_panel) {
      const std::int64_t rows = std::min(panel, count - q * panel);
      const float* from = ds + q * panel * panel;
      if constexpr (Engine::group == 1) {
        pack_right<FloatWords, float>({from, panel}, rows, keys, to);
      } else {
        const Floats d;
        auto* pairs = reinterpret_cast<std::uint16_t*>(s_.pairs.take(panel * panel / 2));
        for (std::int64_t i = 0; i < rows; ++i) {
          const VF both =
              Engine::concatenate(hn::LoadU(d, from + i * panel), hn::LoadU(d, from + i * panel + lanes));
          hn::StoreU(both, d, reinterpret_cast<float*>(pairs + i * panel));
        }
        pack_right<Engine, std::uint16_t>({pairs, panel}, rows, keys, to);
      }
    }
  }

  // Of a panel of queries: words of all keys of a tile, and what packing writes past them.
  static constexpr std::int64_t transposed_panel = (backward_keys / Engine::group + 4) * panel;

  const IntervalAttention& p_;
  const AttentionBackward& g_;
  BackwardScratch& s_;
  const std::int64_t sample_, kv_head_;
  const std::int64_t words4_ = round_up(words_of<Engine>(p_.width), 4), columns_ = round_up(p_.width, 8);
  const bool keeps_packed_ = opens_few(p_.pattern);
  float *keys_ = nullptr, *values_ = nullptr;            // [panel of keys, words, panel]
  float *grad_keys_ = nullptr, *grad_values_ = nullptr;  // [panel of keys, columns, panel], without `scale`
  Left key_rows_;                                        // rows are columns
  float scales_[panel];
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
  const DenormalsAreZero denormals;
  const auto each_task = [&](const auto& run) {
    for (std::int64_t task = begin; task < end; ++task) run(task / p.kv_heads, task % p.kv_heads);
    hwy::FlushStream();  // gradients that went past the caches, before others read them
  };
  if (p.element == Element::bfloat16 && isa_in_use() >= Isa::amx_bf16) {
    const amx::Tiles tiles;
    with_scratch<amx::BackwardScratch>(opens_few(p.pattern), [&](amx::BackwardScratch& scratch) {
      each_task([&](std::int64_t sample, std::int64_t kv_head) {
        amx::backward_head(p, gradients, sample, kv_head, scratch);
      });
    });
    return;
  }
  const bool pairs = isa_in_use() >= Isa::avx512_bf16;
  with_scratch<BackwardScratch>(opens_few(p.pattern), [&](BackwardScratch& scratch) {
    each_task([&](std::int64_t sample, std::int64_t kv_head) {
      if (p.element == Element::float32) {
        HWY_DYNAMIC_DISPATCH(backward_float32)(p, gradients, sample, kv_head, scratch);
      } else {
        HWY_DYNAMIC_DISPATCH(backward_bfloat16)(p, gradients, sample, kv_head, pairs, scratch);
      }
    });
  });
}

}  // namespace ecp::kernels
#endif
