#include <algorithm>
#include <array>
#include <limits>
#include <numbers>

#include "ecp/kernels/amx.h"
#include "ecp/kernels/amx_packing.h"
#include "ecp/kernels/attention_tiles.h"
#include "ecp/kernels/attention_walk.h"
#include "ecp/kernels/dropout.h"
#include "ecp/kernels/interval_attention_amx.h"

ECP_AMX_BEGIN
namespace ecp::kernels::amx {
namespace {

// Rows of tiles are keys and columns queries, so that a row's log-sum-exp and delta are lanes, and
// probabilities and gradients of scores are the left operands of the sums over queries, dv and dk, as they
// are. These wait for eight tiles of queries and are summed at once. Pairs of keys' gradients of scores are
// the right operand of dq, whose rows are columns.
constexpr std::int64_t block_keys = 32;
constexpr std::int64_t blocks = backward_keys / block_keys;
constexpr std::int64_t block_scores = 4 * tile_floats;
constexpr std::int64_t block_halves = 2 * tile_elements;
constexpr std::int64_t slot_halves = blocks * block_halves;

/// A block's scores and gradients of probabilities, and what becomes of them.
struct Block {
  const float *scores, *grads;                 // [2 of keys, 2 of queries] tiles
  const float* factors;                        // of dropout: [key, query]
  std::uint16_t *probabilities, *grad_scores;  // [2 of keys] tiles
  std::uint16_t* grad_pairs;                   // [2 of queries] tiles
  std::int32_t first_key;                      // what lo and hi count from is 0
};

struct TileLanes {
  __m512 log_sum[2], delta[2];
  __m512i lo[2], hi[2];
};

/// One key of a block.
struct KeyGrads {
  __m512 of[2];
};

template <bool masked, bool dropping>
HWY_INLINE KeyGrads soften_key(const Block& block, const TileLanes& lanes, __m512 factor, std::int64_t key) {
  const std::int64_t at = (key / tile * 2 * tile + key % tile) * tile;
  KeyGrads grads;
  __m512 p[2];
  for (int i = 0; i < 2; ++i) {
    __mmask16 seen = 0xFFFF;
    if constexpr (masked) {
      const __m512i k = _mm512_set1_epi32(block.first_key + static_cast<std::int32_t>(key));
      seen = _mm512_mask_cmpgt_epi32_mask(_mm512_cmple_epi32_mask(lanes.lo[i], k), lanes.hi[i], k);
    }
    const __m512 score = _mm512_load_ps(block.scores + at + i * tile_floats);
    __m512 grad = _mm512_load_ps(block.grads + at + i * tile_floats);
    // Not minus infinity, which exp2 doesn't take; in this order NaN is kept.
    const __m512 x = _mm512_max_ps(_mm512_set1_ps(-1000), _mm512_fmsub_ps(score, factor, lanes.log_sum[i]));
    p[i] = exp2(x, seen);
    if constexpr (dropping) {
      const __m512 kept = _mm512_load_ps(block.factors + key * backward_queries + i * tile);
      grads.of[i] = _mm512_maskz_mul_ps(seen, p[i], _mm512_fmsub_ps(grad, kept, lanes.delta[i]));
      p[i] = _mm512_mul_ps(p[i], kept);
    } else {
      grads.of[i] = _mm512_maskz_mul_ps(seen, p[i], _mm512_sub_ps(grad, lanes.delta[i]));
    }
  }
  _mm512_store_si512(block.probabilities + key * depth, rounded(p[0], p[1]));
  _mm512_store_si512(block.grad_scores + key * depth, rounded(grads.of[0], grads.of[1]));
  return grads;
}

/// `Keys` more keys, from `key` on.
template <bool masked, bool dropping, int Keys>
HWY_INLINE void soften(const Block& block, const TileLanes& lanes, float scale, std::int64_t& key) {
  const __m512 factor = _mm512_set1_ps(scale);
  for (int done = 0; done < Keys; done += 2, key += 2) {
    const KeyGrads even = soften_key<masked, dropping>(block, lanes, factor, key);
    const KeyGrads odd = soften_key<masked, dropping>(block, lanes, factor, key + 1);
    for (int i = 0; i < 2; ++i) {
      _mm512_store_si512(block.grad_pairs + i * tile_elements + key * tile,
                         rounded_pairs(even.of[i], odd.of[i]));
    }
  }
}

/// Σ a · b, by lane.
HWY_INLINE __m512 row_dot(const std::uint16_t* a, const std::uint16_t* b, std::int64_t width) {
  __m512 sum = _mm512_setzero_ps();
  for (std::int64_t c = 0; c < width; c += depth) {
    const __mmask32 some = first_of_32(width - c);
    sum = _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(_mm512_maskz_loadu_epi16(some, a + c)),
                           reinterpret_cast<__m512bh>(_mm512_maskz_loadu_epi16(some, b + c)));
  }
  return sum;
}

class BackwardHead {
 public:
  BackwardHead(const IntervalAttention& problem, const AttentionBackward& gradients, std::int64_t sample,
               std::int64_t kv_head, BackwardScratch& scratch)
      : p_(problem), g_(gradients), s_(scratch), sample_(sample), kv_head_(kv_head) {
    keys_ = halves(s_.keys, backward_keys * steps_ * depth);
    values_ = p_.v.data != nullptr ? halves(s_.values, backward_keys * steps_ * depth) : keys_;
    key_rows_ = halves(s_.key_rows, backward_keys * steps_ * depth);
    key_columns_ = halves(s_.key_columns, backward_keys * steps_ * depth);
    grad_keys_ = s_.grad_keys.take(backward_keys * steps_ * depth);
    grad_values_ = s_.grad_values.take(backward_keys * steps_ * depth);
    scores_ = s_.scores.take(4 * block_scores);
    grad_pairs_ = halves(s_.grad_pairs, slot_halves);
    probabilities_ = halves(s_.probabilities, most_slots * slot_halves);
    grad_scores_ = halves(s_.grad_scores, most_slots * slot_halves);
    if (p_.dropout.threshold > 0) factors_ = s_.factors.take(backward_keys * backward_queries);
  }

  void run() { walk_backward(p_, backward_queries, backward_keys, s_.tiles, *this); }

  // What the walk calls (attention_walk.h).

  void open(std::int64_t head, OpenTile& tile, Range rows) {
    tile.rows = rows;
    tile.is_packed = tile.has_grad = false;
    tile.keys.set(p_, sample_, rows);
    const HalfRows out = rows_at(g_.out, sample_, head_of(head), rows.begin);
    const HalfRows grad = rows_at(g_.grad_out, sample_, head_of(head), rows.begin);
    const float* sums = g_.log_sum_exp + (sample_ * p_.heads + head_of(head)) * p_.rows + rows.begin;
    std::fill_n(tile.log_sum, backward_queries, 0.0f);
    __m512 products[backward_queries];
    for (std::int64_t i = 0; i < backward_queries; ++i) {
      products[i] = i < rows.size()
                        ? row_dot(out.data + i * out.stride, grad.data + i * grad.stride, p_.width)
                        : _mm512_setzero_ps();
    }
    for (std::int64_t i = 0; i < backward_queries; i += amx::tile) {
      _mm512_store_ps(tile.delta + i, row_sums(products + i));
    }
    for (std::int64_t i = 0; i < rows.size(); ++i) {
      if (sums[i] == -std::numeric_limits<float>::infinity()) {
        tile.keys.exclude(i);
      } else {
        tile.log_sum[i] = sums[i] * std::numbers::log2e_v<float>;
      }
    }
  }

  void close(std::int64_t head, OpenTile& tile) {
    auto* out = static_cast<std::uint16_t*>(g_.grad_q.data) + sample_ * g_.grad_q.batch +
                head_of(head) * g_.grad_q.head + tile.rows.begin * g_.grad_q.row;
    const float* grad = grad_of(tile);
    const __m512 scale = _mm512_set1_ps(p_.scale);
    for (std::int64_t first = 0; first < tile.rows.size(); first += amx::tile) {
      const std::int64_t rows = std::min(amx::tile, tile.rows.size() - first);
      for (std::int64_t step = 0; step < steps_; ++step) {
        __m512i words[16];
        for (std::int64_t w = 0; w < amx::tile; ++w) {
          const std::int64_t column = step * depth + 2 * w;
          const float* at = grad + (column / amx::tile * 2 + first / amx::tile) * tile_floats +
                            column % amx::tile * amx::tile;
          words[w] = tile.has_grad ? rounded_pairs(_mm512_mul_ps(_mm512_load_ps(at), scale),
                                                   _mm512_mul_ps(_mm512_load_ps(at + amx::tile), scale))
                                   : _mm512_setzero_si512();
        }
        transpose(words);
        for (std::int64_t i = 0; i < rows; ++i) {
          store_words(words[i], out + (first + i) * g_.grad_q.row, step, p_.width);
        }
      }
    }
  }

  void begin_keys(Range keys) {
    const std::int64_t rows = (keys.size() + block_keys - 1) / block_keys * block_keys;
    const HalfRows k = rows_at(p_.k, sample_, kv_head_, keys.begin);
    pack_left(k, rows, keys.size(), p_.width, steps_, keys_);
    if (values_ != keys_) {
      pack_left(rows_at(p_.v, sample_, kv_head_, keys.begin), rows, keys.size(), p_.width, steps_, values_);
    }
    pack_right_rows(k, rows, keys.size(), p_.width, steps_, key_rows_);
    transpose_tiles(key_rows_, rows / depth * across_, key_columns_);
    has_grads_.fill(false);
  }

  void add(std::int64_t head, OpenTile& tile, Range keys, const Upcoming& upcoming) {
    const SeenKeys seen = tile.keys.seen(keys.begin, keys.size());
    if (seen.none()) return;
    Slot& slot = slots_[slots_used_];
    slot.blocks = {seen.some_lo / block_keys, (seen.some_hi + block_keys - 1) / block_keys};
    pack(head, tile, slot);
    if (p_.dropout.threshold > 0) find_factors(head_of(head), tile, keys);
    TileLanes lanes;
    const __m512i shift = _mm512_set1_epi32(static_cast<int>(tile.keys.all.lo - keys.begin));
    for (int i = 0; i < 2; ++i) {
      lanes.log_sum[i] = _mm512_load_ps(tile.log_sum + i * amx::tile);
      lanes.delta[i] = _mm512_load_ps(tile.delta + i * amx::tile);
      lanes.lo[i] = _mm512_add_epi32(_mm512_load_si512(tile.keys.lo + i * amx::tile), shift);
      lanes.hi[i] = _mm512_min_epi32(_mm512_add_epi32(_mm512_load_si512(tile.keys.hi + i * amx::tile), shift),
                                     _mm512_set1_epi32(static_cast<int>(keys.size())));
    }
    float *scores = scores_, *next_scores = scores_ + 2 * block_scores;
    product_of(keys_, slot.queries, slot.blocks.begin, scores).run();
    product_of(values_, slot.grads, slot.blocks.begin, scores + block_scores).run();
    for (std::int64_t block = slot.blocks.begin; block < slot.blocks.end; ++block) {
      prefetch_part<std::uint16_t>(upcoming, block - slot.blocks.begin, slot.blocks.size(), p_, g_, sample_,
                                   kv_head_, head);
      const std::int64_t begin = block * block_keys, at = slots_used_ * slot_halves + block * block_halves;
      const Block of{scores,
                     scores + block_scores,
                     factors_ == nullptr ? nullptr : factors_ + begin * backward_queries,
                     probabilities_ + at,
                     grad_scores_ + at,
                     grad_pairs_ + block * block_halves,
                     static_cast<std::int32_t>(begin)};
      const Next next{&slot, block + 1 < slot.blocks.end ? block + 1 : -1, next_scores};
      if (p_.dropout.threshold > 0) {
        soften_block<true, true>(of, lanes, next);
      } else if (seen.whole(begin, begin + block_keys)) {
        soften_block<false, false>(of, lanes, next);
      } else {
        soften_block<true, false>(of, lanes, next);
      }
      std::swap(scores, next_scores);
    }
    add_to_queries(tile, slot.blocks);
    if (++slots_used_ == most_slots) add_to_keys();
  }

  void end_keys(Range keys) {
    add_to_keys();
    for (std::int64_t row = 0; row < keys.size(); ++row) {
      const std::int64_t at = (row / amx::tile * across_ * amx::tile + row % amx::tile) * amx::tile;
      const bool has = has_grads_[static_cast<std::size_t>(row / block_keys)];
      write_key(g_.grad_k, keys.begin + row, has, grad_keys_ + at, p_.scale,
                g_.grad_v.data != nullptr ? nullptr : grad_values_ + at);
      if (g_.grad_v.data != nullptr)
        write_key(g_.grad_v, keys.begin + row, has, grad_values_ + at, 1, nullptr);
    }
  }

 private:
  /// A tile of queries that met the keys and whose part of their gradients is yet to be summed.
  struct Slot {
    Range blocks;
    const std::uint16_t *queries, *grads;         // right operands, rows are columns: [2, steps] tiles
    const std::uint16_t *query_rows, *grad_rows;  // right operands of sums over rows: [column tiles]
  };

  [[nodiscard]] std::int64_t head_of(std::int64_t in_group) const {
    return kv_head_ * (p_.heads / p_.kv_heads) + in_group;
  }
  [[nodiscard]] float* grad_of(OpenTile& tile) const { return tile.grad.take(2 * across_ * tile_floats); }

  /// A tile's queries and gradients; packed once if it may be kept.
  void pack(std::int64_t head, OpenTile& tile, Slot& slot) {
    const std::int64_t part = across_ * tile_elements;
    std::uint16_t* at = keeps_packed_ ? halves(tile.packed, 4 * part)
                                      : halves(s_.packed, most_slots * 4 * part) + slots_used_ * 4 * part;
    slot.queries = at;
    slot.grads = at + part;
    slot.query_rows = at + 2 * part;
    slot.grad_rows = at + 3 * part;
    if (keeps_packed_ && tile.is_packed) return;
    tile.is_packed = true;
    const std::int64_t count = tile.rows.size();
    const HalfRows q = rows_at(p_.q, sample_, head_of(head), tile.rows.begin);
    const HalfRows grad = rows_at(g_.grad_out, sample_, head_of(head), tile.rows.begin);
    pack_right(q, backward_queries, count, p_.width, steps_, at);
    pack_right(grad, backward_queries, count, p_.width, steps_, at + part);
    pack_right_rows(q, backward_queries, count, p_.width, steps_, at + 2 * part);
    pack_right_rows(grad, backward_queries, count, p_.width, steps_, at + 3 * part);
  }

  /// A block's product: keys · queries, its scores, or values · gradients, those of its probabilities.
  [[nodiscard]] HWY_INLINE TileProduct product_of(const std::uint16_t* keys, const std::uint16_t* queries,
                                                  std::int64_t block, float* to) const {
    const std::int64_t next = steps_ * tile_elements;
    return {TilePairs{keys + block * 2 * next, tile_elements, next},
            TilePairs{queries, tile_elements, next},
            steps_,
            to,
            2 * tile_floats,
            false};
  }

  /// The block after this one, whose products are made meanwhile; none: −1.
  struct Next {
    const Slot* slot;
    std::int64_t block;
    float* scores;
  };

  /// `product` with `Keys` keys softened after each half step.
  template <bool masked, bool dropping, int Keys>
  HWY_INLINE void multiply(TileProduct product, const Block& block, const TileLanes& lanes,
                           std::int64_t& key) const {
    product.begin();
    for (std::int64_t step = 0; step < product.steps; ++step) {
      product.first_half();
      soften<masked, dropping, Keys>(block, lanes, factor_, key);
      product.second_half();
      soften<masked, dropping, Keys>(block, lanes, factor_, key);
    }
    product.end();
  }

  template <bool masked, bool dropping>
  void soften_block(const Block& block, const TileLanes& lanes, const Next& next) const {
    std::int64_t key = 0;
    if (next.block >= 0) {
      const auto scores = product_of(keys_, next.slot->queries, next.block, next.scores);
      const auto grads = product_of(values_, next.slot->grads, next.block, next.scores + block_scores);
      if (steps_ <= 2) {
        multiply<masked, dropping, 4>(scores, block, lanes, key);
        multiply<masked, dropping, 4>(grads, block, lanes, key);
      } else if (steps_ <= 4) {
        multiply<masked, dropping, 2>(scores, block, lanes, key);
        multiply<masked, dropping, 2>(grads, block, lanes, key);
      } else {
        multiply<masked, dropping, 0>(scores, block, lanes, key);
        multiply<masked, dropping, 0>(grads, block, lanes, key);
      }
    }
    while (key < block_keys) soften<masked, dropping, 2>(block, lanes, factor_, key);
  }

  /// dq += (gradients of scores) · k.
  void add_to_queries(OpenTile& tile, Range met) const {
    float* grad = grad_of(tile);
    for (std::int64_t c = 0; c < across_; c += 2) {
      TileProduct{TilePairs{key_columns_ + (met.begin * across_ + c) * tile_elements, across_ * tile_elements,
                            tile_elements},
                  TilePairs{grad_pairs_ + met.begin * block_halves, block_halves, tile_elements},
                  met.size(),
                  grad + c * 2 * tile_floats,
                  2 * tile_floats,
                  tile.has_grad}
          .run();
    }
    tile.has_grad = true;
  }

  /// dv += probabilitiesᵀ · dout and dk += (gradients of scores)ᵀ · q of all slots. One column pair after the
  /// other, so that what the slots have of it stays in the first cache for all blocks.
  void add_to_keys() {
    std::array<bool, blocks> met{};
    for (std::size_t i = 0; i < slots_used_; ++i) {
      std::fill(met.begin() + slots_[i].blocks.begin, met.begin() + slots_[i].blocks.end, true);
    }
    const auto sum = [&](const std::uint16_t* left, const std::uint16_t* Slot::*right, float* sums) {
      for (std::int64_t c = 0; c < across_; c += 2) {
        for (std::int64_t block = 0; block < blocks; ++block) {
          if (met[static_cast<std::size_t>(block)]) sum_slots(block, c, left, right, sums);
        }
      }
    };
    sum(probabilities_, &Slot::grad_rows, grad_values_);
    sum(grad_scores_, &Slot::query_rows, grad_keys_);
    for (std::size_t block = 0; block < blocks; ++block) has_grads_[block] = has_grads_[block] || met[block];
    slots_used_ = 0;
  }

  HWY_INLINE void sum_slots(std::int64_t block, std::int64_t column_tile, const std::uint16_t* left,
                            const std::uint16_t* Slot::*right, float* sums) const {
    TileProduct product{{},
                        {},
                        1,
                        sums + (block * 2 * across_ + column_tile) * tile_floats,
                        across_ * tile_floats,
                        has_grads_[static_cast<std::size_t>(block)]};
    product.begin();
    for (std::size_t i = 0; i < slots_used_; ++i) {
      if (block < slots_[i].blocks.begin || slots_[i].blocks.end <= block) continue;
      product.left = {left + static_cast<std::int64_t>(i) * slot_halves + block * block_halves, 0,
                      tile_elements};
      product.right = {slots_[i].*right + column_tile * tile_elements, 0, tile_elements};
      product.first_half();
      product.second_half();
    }
    product.end();
  }

  /// One row of a gradient: sums · factor + more.
  HWY_INLINE void write_key(const WriteRows& x, std::int64_t row, bool has, const float* sums, float factor,
                            const float* more) const {
    auto* to = static_cast<std::uint16_t*>(x.data) + sample_ * x.batch + kv_head_ * x.head + row * x.row;
    const __m512 scale = _mm512_set1_ps(factor);
    for (std::int64_t step = 0; step < steps_; ++step, sums += 2 * tile_floats) {
      __m512 part[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
      for (int i = 0; has && i < 2; ++i) {
        part[i] = _mm512_mul_ps(_mm512_load_ps(sums + i * tile_floats), scale);
        if (more != nullptr) {
          part[i] = _mm512_add_ps(part[i], _mm512_load_ps(more + (2 * step + i) * tile_floats));
        }
      }
      store_words(rounded(part[0], part[1]), to, step, p_.width);
    }
  }

  /// Dropout's factors of a tile of queries and one of keys: [key, query].
  void find_factors(std::int64_t head, const OpenTile& tile, Range keys) {
    constexpr std::int64_t stride = backward_keys + 256;  // what dropout_row may write
    float* rows = s_.factor_rows.take(backward_queries * stride);
    const float* of_row[backward_queries];
    for (std::int64_t i = 0; i < backward_queries; ++i) {
      of_row[i] = dropout_row(p_.dropout.streams[static_cast<std::size_t>(sample_ * p_.heads + head)],
                              p_.query_offset + tile.rows.begin + i, p_.key_offset + keys.begin,
                              backward_keys, p_.dropout.threshold, p_.dropout.kept, rows + i * stride);
    }
    for (std::int64_t first = 0; first < backward_queries; first += amx::tile) {
      for (std::int64_t key = 0; key < backward_keys; key += amx::tile) {
        __m512i words[16];
        for (std::int64_t i = 0; i < amx::tile; ++i) words[i] = _mm512_loadu_si512(of_row[first + i] + key);
        transpose(words);
        for (std::int64_t i = 0; i < amx::tile; ++i) {
          _mm512_store_si512(factors_ + (key + i) * backward_queries + first, words[i]);
        }
      }
    }
  }

  const IntervalAttention& p_;
  const AttentionBackward& g_;
  BackwardScratch& s_;
  const std::int64_t sample_, kv_head_;
  const std::int64_t steps_ = (p_.width + depth - 1) / depth;  // of a sum over a row's elements
  const std::int64_t across_ = 2 * steps_;                     // column tiles of a row
  const float factor_ = p_.scale * std::numbers::log2e_v<float>;
  const bool keeps_packed_ = opens_few(p_.pattern);
  std::uint16_t *keys_ = nullptr, *values_ = nullptr;           // left operands: [key tile, steps] tiles
  std::uint16_t *key_rows_ = nullptr, *key_columns_ = nullptr;  // [block, column tiles] tiles; the latter's
                                                                // rows are columns
  float *grad_keys_ = nullptr, *grad_values_ = nullptr;         // [key tile, column tiles] tiles
  std::array<bool, blocks> has_grads_ = {};                     // which blocks have such
  float* scores_ = nullptr;                                     // of a block and its gradients, twice
  std::uint16_t* grad_pairs_ = nullptr;                         // [block, 2 of queries] tiles
  std::uint16_t *probabilities_ = nullptr, *grad_scores_ = nullptr;  // [slot, block, 2 of keys] tiles
  std::array<Slot, most_slots> slots_ = {};
  std::size_t slots_used_ = 0;
  float* factors_ = nullptr;
};

}  // namespace

void backward_head(const IntervalAttention& problem, const AttentionBackward& gradients, std::int64_t sample,
                   std::int64_t kv_head, BackwardScratch& scratch) {
  BackwardHead(problem, gradients, sample, kv_head, scratch).run();
}

}  // namespace ecp::kernels::amx
ECP_AMX_END
