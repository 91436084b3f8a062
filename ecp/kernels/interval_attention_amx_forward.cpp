#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "ecp/kernels/amx.h"
#include "ecp/kernels/amx_packing.h"
#include "ecp/kernels/attention_tiles.h"
#include "ecp/kernels/dropout.h"
#include "ecp/kernels/interval_attention_amx.h"
#include "ecp/kernels/prefetch.h"

ECP_AMX_BEGIN
namespace ecp::kernels::amx {
namespace {

// Rows of tiles are queries, so that queries, probabilities and results are left operands as they are. A tile
// of 32 queries walks over the blocks of 32 keys of a chunk: while one block's scores are raised, the tiles
// multiply the next one's, a few products between some rows, for many at once would be waited for. Then all
// probabilities of the chunk meet the values.
//
// What scores are reduced by before they are raised is the first score that a row sees instead of its
// highest: any will do as long as powers neither overflow nor all vanish. Where a sum goes beyond `limit` or
// is no number, the chunk is done again with the highest.
constexpr std::int64_t queries_at_once = 32;
constexpr std::int64_t block_keys = 32;
constexpr std::int64_t most_keys = 1024;  // of a chunk
constexpr float limit = 0x1p60f;
constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr std::int64_t block_scores = 4 * tile_floats;

struct QueryTile {
  Range rows;  // of q
  TileKeys keys;
  float* out = nullptr;                          // [2, column tiles] tiles, not yet divided by the sum
  bool has_out = false;                          // whether a chunk has added to it
  std::uint32_t set = 0;                         // which rows have a reference
  alignas(64) float reference[queries_at_once];  // what scaled scores are reduced by
  alignas(64) float sums[queries_at_once][16];   // of raised scores, by lane
};

/// A chunk of keys, and keys and values in the form of tiles.
struct Chunk {
  std::int64_t begin = 0, size = 0;
  std::int64_t packed = 0;  // keys that are in the form of tiles so far
  std::uint16_t *keys = nullptr, *values = nullptr;
};

/// masks[row] has bit k where the row sees key `begin` + k of the chunk.
HWY_INLINE void find_masks(const QueryTile& tile, std::int64_t begin, std::uint32_t* masks) {
  const __m512i ones = _mm512_set1_epi32(-1), zero = _mm512_setzero_si512(),
                most = _mm512_set1_epi32(block_keys);
  const __m512i shift = _mm512_set1_epi32(static_cast<int>(tile.keys.all.lo - begin));
  for (std::int64_t i = 0; i < queries_at_once; i += 16) {
    const __m512i lo = _mm512_add_epi32(_mm512_load_si512(tile.keys.lo + i), shift);
    const __m512i hi = _mm512_add_epi32(_mm512_load_si512(tile.keys.hi + i), shift);
    const __m512i from = _mm512_sllv_epi32(ones, _mm512_min_epi32(_mm512_max_epi32(lo, zero), most));
    const __m512i to = _mm512_sllv_epi32(ones, _mm512_min_epi32(_mm512_max_epi32(hi, zero), most));
    _mm512_store_si512(masks + i, _mm512_andnot_si512(to, from));
  }
}

/// The place of a score in a block: [2, 2] tiles.
HWY_INLINE std::int64_t score_at(std::int64_t row, std::int64_t key) {
  return ((row / tile * 2 + key / tile) * tile + row % tile) * tile + key % tile;
}

class ForwardGroup {
 public:
  ForwardGroup(const IntervalAttention& problem, const AttentionForward& results, std::int64_t sample,
               std::int64_t head, ForwardScratch& scratch)
      : p_(problem), results_(results), s_(scratch), sample_(sample), head_(head) {
    scores_ = s_.scores.take(2 * block_scores);
    probabilities_ = halves(s_.probabilities, most_keys / block_keys * 2 * tile_elements);
    queries_ = halves(s_.queries, 2 * steps_ * tile_elements);
    if (p_.dropout.threshold > 0) {
      stream_ = p_.dropout.streams[static_cast<std::size_t>(sample * p_.heads + head)];
      factors_ = s_.factors.take(queries_at_once * most_keys + 2 * most_keys);
    }
  }

  void run(Range group) {
    const auto ranges = tiles_of(p_.pattern, p_.query_offset + group.begin, group.size(), queries_at_once);
    std::vector<QueryTile> tiles(ranges.size());
    Interval all{p_.keys, 0};
    for (std::size_t i = 0; i < tiles.size(); ++i) {
      QueryTile& tile = tiles[i];
      tile.rows = {group.begin + ranges[i].begin, group.begin + ranges[i].end};
      tile.keys.set(p_, sample_, tile.rows);
      for (__m512& sum : as_vectors(tile)) sum = _mm512_setzero_ps();
      std::fill_n(tile.reference, queries_at_once, 0.0f);
      if (tile.keys.all.size() == 0) continue;
      all = {std::min(all.lo, tile.keys.all.lo), std::max(all.hi, tile.keys.all.hi)};
    }
    // Results of a tile stay in the nearest caches if it meets all its keys at once.
    const bool at_once = all.hi - all.lo <= most_keys;
    const std::int64_t out_size = 4 * steps_ * tile_floats;
    float* out = s_.out.take(at_once ? out_size : out_size * static_cast<std::int64_t>(tiles.size()));
    for (QueryTile& tile : tiles) {
      tile.out = out;
      if (!at_once) out += out_size;
    }
    const std::int64_t most =
        std::min(most_keys, (all.hi - all.lo + block_keys - 1) / block_keys * block_keys);
    for (std::int64_t begin = all.lo; begin < all.hi; begin += most_keys) {
      Chunk chunk{begin, std::min(most_keys, all.hi - begin), 0, halves(s_.keys, most * steps_ * depth),
                  halves(s_.values, most * steps_ * depth)};
      for (QueryTile& tile : tiles) {
        attend(tile, chunk);
        if (begin + most_keys >= all.hi) finish(tile);
      }
    }
    if (all.hi <= all.lo) {
      for (QueryTile& tile : tiles) finish(tile);
    }
  }

 private:
  using Sums = __m512[queries_at_once];
  static Sums& as_vectors(QueryTile& tile) { return *reinterpret_cast<Sums*>(&tile.sums); }

  [[nodiscard]] const ReadRows& values() const { return p_.v.data != nullptr ? p_.v : p_.k; }

  /// Blocks of keys and values are packed when the first tile needs them.
  void pack_until(Chunk& chunk, std::int64_t end) const {
    for (; chunk.packed < end; chunk.packed += block_keys) {
      const std::int64_t key = chunk.begin + chunk.packed, at = chunk.packed * steps_ * depth;
      const std::int64_t count = std::min(block_keys, chunk.size - chunk.packed);
      pack_right(rows_at(p_.k, sample_, kv_head_, key), block_keys, count, p_.width, steps_, chunk.keys + at);
      pack_right_rows(rows_at(values(), sample_, kv_head_, key), block_keys, count, p_.width, steps_,
                      chunk.values + at);
    }
  }

  /// Rows that the tile after the next one will be the first to need, part `part` of `parts`: a few lines at
  /// a time, for many at once would be waited for.
  void prefetch(const QueryTile& tile, std::int64_t part, std::int64_t parts) const {
    const std::int64_t each = (queries_at_once + parts - 1) / parts, first = queries_at_once + part * each;
    const auto after = [&](std::int64_t row, std::int64_t all) {
      return Range{std::min(row + first, all), std::min(row + first + each, all)};
    };
    prefetch_rows<std::uint16_t>(p_.q, sample_, head_, after(tile.rows.end, p_.rows), p_.width);
    const Range keys = after(tile.keys.all.hi, p_.keys);
    prefetch_rows<std::uint16_t>(p_.k, sample_, kv_head_, keys, p_.width);
    prefetch_rows<std::uint16_t>(p_.v, sample_, kv_head_, keys, p_.width);
  }

  void attend(QueryTile& tile, Chunk& chunk) {
    const SeenKeys seen = tile.keys.seen(chunk.begin, chunk.size);
    if (seen.none()) return;
    pack_until(chunk, seen.some_hi);
    pack_left(rows_at(p_.q, sample_, head_, tile.rows.begin), queries_at_once, tile.rows.size(), p_.width,
              steps_, queries_);
    const Range blocks{seen.some_lo / block_keys, (seen.some_hi + block_keys - 1) / block_keys};
    if (p_.dropout.threshold > 0) {
      find_factors(tile, chunk, blocks);
      if (!raise<true>(tile, chunk, seen, blocks, false)) {
        take_highest(tile, chunk, blocks);
        raise<true>(tile, chunk, seen, blocks, true);
      }
    } else if (!raise<false>(tile, chunk, seen, blocks, false)) {
      take_highest(tile, chunk, blocks);
      raise<false>(tile, chunk, seen, blocks, true);
    }
    for (std::int64_t i = 0; i < queries_at_once; ++i) {
      as_vectors(tile)[i] = _mm512_add_ps(as_vectors(tile)[i], sums_[i]);
    }
    meet_values(tile, chunk, blocks);
    tile.has_out = true;
  }

  [[nodiscard]] HWY_INLINE const std::uint16_t* keys_of(const Chunk& chunk, std::int64_t block) const {
    return chunk.keys + block * 2 * steps_ * tile_elements;
  }
  /// The scores of a block of keys.
  [[nodiscard]] HWY_INLINE TileProduct scores_of(const std::uint16_t* keys, float* scores) const {
    return {TilePairs{queries_, tile_elements, steps_ * tile_elements},
            TilePairs{keys, tile_elements, steps_ * tile_elements},
            steps_,
            scores,
            2 * tile_floats,
            false};
  }

  /// Rows of the tile that see something of a block for the first time get their reference.
  HWY_INLINE void set_references(QueryTile& tile, const float* scores, const std::uint32_t* masks) const {
    for (std::uint32_t rest = ~tile.set; rest != 0; rest &= rest - 1) {
      const int row = __builtin_ctz(rest);
      if (masks[row] == 0) continue;
      const float score = scores[score_at(row, __builtin_ctz(masks[row]))] * factor_;
      tile.reference[row] = score == -infinity ? 0 : score;
      tile.set |= 1u << row;
    }
  }

  /// A block of a tile's scores on its way to probabilities.
  struct Raising {
    const QueryTile& tile;
    const float* scores;
    const std::uint32_t* masks;
    const float* factors;
    std::uint16_t* to;
    std::int64_t row = 0;  // rows before it are done
  };

  /// `Rows` more rows of scores as powers, in `to` as bfloat16.
  template <bool masked, bool dropping, int Rows>
  HWY_INLINE void raise_rows(Raising& r) {
    const __m512 factor = _mm512_set1_ps(factor_);
    for (int i = 0; i < Rows; ++i, ++r.row) {
      const std::int64_t row = r.row;
      const float* at = r.scores + score_at(row, 0);
      const __m512 reference = _mm512_set1_ps(r.tile.reference[row]);
      const __m512 low = _mm512_fmsub_ps(_mm512_load_ps(at), factor, reference);
      const __m512 high = _mm512_fmsub_ps(_mm512_load_ps(at + tile_floats), factor, reference);
      const auto low_seen = static_cast<__mmask16>(masked ? r.masks[row] : 0xFFFF);
      const auto high_seen = static_cast<__mmask16>(masked ? r.masks[row] >> 16 : 0xFFFF);
      __m512 low_power = exp2(low, low_seen), high_power = exp2(high, high_seen);
      sums_[row] = _mm512_add_ps(sums_[row], _mm512_add_ps(low_power, high_power));
      if constexpr (dropping) {
        low_power = _mm512_mul_ps(low_power, _mm512_loadu_ps(r.factors + row * most_keys));
        high_power = _mm512_mul_ps(high_power, _mm512_loadu_ps(r.factors + row * most_keys + 16));
      }
      _mm512_store_si512(r.to + row * depth, rounded(low_power, high_power));
    }
  }

  /// `product` with `Rows` rows raised after each half step.
  template <bool masked, bool dropping, int Rows>
  HWY_INLINE void multiply(TileProduct product, Raising& r) {
    product.begin();
    for (std::int64_t step = 0; step < product.steps; ++step) {
      product.first_half();
      raise_rows<masked, dropping, Rows>(r);
      product.second_half();
      raise_rows<masked, dropping, Rows>(r);
    }
    product.end();
  }

  /// Raises a block's scores, during the products of the next block's if there are `next_keys`.
  template <bool masked, bool dropping>
  HWY_INLINE void raise_block(Raising r, const std::uint16_t* next_keys, float* next_scores) {
    if (next_keys != nullptr) {
      const TileProduct product = scores_of(next_keys, next_scores);
      if (steps_ <= 4) {
        multiply<masked, dropping, 4>(product, r);
      } else if (steps_ <= 8) {
        multiply<masked, dropping, 2>(product, r);
      } else if (steps_ <= 16) {
        multiply<masked, dropping, 1>(product, r);
      } else {
        multiply<masked, dropping, 0>(product, r);
      }
    }
    while (r.row < queries_at_once) raise_rows<masked, dropping, 2>(r);
  }

  /// Scores of minus infinity become very low ones, whose powers are zero as well.
  void bound(float* scores) const {
    const __m512 factor = _mm512_set1_ps(factor_), lowest = _mm512_set1_ps(-1e30f);
    const __m512 instead = _mm512_set1_ps(-1e30f / factor_);
    for (std::int64_t i = 0; i < block_scores; i += 16) {
      const __m512 score = _mm512_load_ps(scores + i);
      const __mmask16 low = _mm512_cmp_ps_mask(_mm512_mul_ps(score, factor), lowest, _CMP_LT_OQ);
      _mm512_store_ps(scores + i, _mm512_mask_mov_ps(score, low, instead));
    }
  }

  /// Probabilities of the chunk's blocks, not yet divided by their sum, and `sums_` of them. False if one is
  /// beyond `limit`, some score being far above its row's reference, or no number. `again`: after
  /// take_highest.
  template <bool dropping>
  bool raise(QueryTile& tile, const Chunk& chunk, const SeenKeys& seen, Range blocks, bool again) {
    for (__m512& sum : sums_) sum = _mm512_setzero_ps();
    float *scores = scores_, *next_scores = scores_ + block_scores;
    scores_of(keys_of(chunk, blocks.begin), scores).run();
    alignas(64) std::uint32_t masks[queries_at_once];
    for (std::int64_t block = blocks.begin; block < blocks.end; ++block) {
      const std::int64_t begin = block * block_keys;
      if (again) bound(scores);
      prefetch(tile, block - blocks.begin, blocks.size());
      const bool whole = seen.whole(begin, begin + block_keys);
      if (!whole || ~tile.set != 0) {
        find_masks(tile, chunk.begin + begin, masks);
        if (~tile.set != 0) set_references(tile, scores, masks);
      }
      const std::uint16_t* next = block + 1 < blocks.end ? keys_of(chunk, block + 1) : nullptr;
      const Raising r{tile, scores, masks, dropping ? factors_ + begin : nullptr,
                      probabilities_ + block * 2 * tile_elements};
      if (whole) {
        raise_block<false, dropping>(r, next, next_scores);
      } else {
        raise_block<true, dropping>(r, next, next_scores);
      }
      std::swap(scores, next_scores);
    }
    unsigned beyond = 0;
    for (const __m512 sum : sums_) beyond |= _mm512_cmp_ps_mask(sum, _mm512_set1_ps(limit), _CMP_NLT_UQ);
    return beyond == 0;
  }

  /// References become at least the highest scores of the chunk; sums and results so far follow.
  void take_highest(QueryTile& tile, const Chunk& chunk, Range blocks) {
    alignas(64) float highest[queries_at_once];
    std::copy_n(tile.reference, queries_at_once, highest);
    alignas(64) std::uint32_t masks[queries_at_once];
    for (std::int64_t block = blocks.begin; block < blocks.end; ++block) {
      scores_of(keys_of(chunk, block), scores_).run();
      find_masks(tile, chunk.begin + block * block_keys, masks);
      for (std::int64_t row = 0; row < queries_at_once; ++row) {
        for (std::uint32_t rest = masks[row]; rest != 0; rest &= rest - 1) {
          highest[row] = std::max(highest[row], scores_[score_at(row, __builtin_ctz(rest))] * factor_);
        }
      }
    }
    for (std::int64_t row = 0; row < queries_at_once; ++row) {
      const __m512 correction = _mm512_set1_ps(std::exp2(tile.reference[row] - highest[row]));
      as_vectors(tile)[row] = _mm512_mul_ps(as_vectors(tile)[row], correction);
      tile.reference[row] = highest[row];
      if (!tile.has_out) continue;
      for (std::int64_t c = 0; c < 2 * steps_; ++c) {
        float* out = out_at(tile, row, c);
        _mm512_store_ps(out, _mm512_mul_ps(_mm512_load_ps(out), correction));
      }
    }
  }

  /// Dropout's factors of the blocks' keys: [queries, most_keys].
  void find_factors(const QueryTile& tile, const Chunk& chunk, Range blocks) {
    const std::int64_t first = blocks.begin * block_keys, count = blocks.size() * block_keys;
    float* buffer = factors_ + queries_at_once * most_keys;
    for (std::int64_t i = 0; i < tile.rows.size(); ++i) {
      const float* of_row =
          dropout_row(stream_, p_.query_offset + tile.rows.begin + i, p_.key_offset + chunk.begin + first,
                      count, p_.dropout.threshold, p_.dropout.kept, buffer);
      std::copy_n(of_row, count, factors_ + i * most_keys + first);
    }
    for (std::int64_t i = tile.rows.size(); i < queries_at_once; ++i) {
      std::fill_n(factors_ + i * most_keys + first, count, 0.0f);
    }
  }

  /// Result += probabilities · values.
  void meet_values(const QueryTile& tile, const Chunk& chunk, Range blocks) const {
    const std::int64_t across = 2 * steps_;  // column tiles
    for (std::int64_t c = 0; c < across; c += 2) {
      TileProduct{
          TilePairs{probabilities_ + blocks.begin * 2 * tile_elements, 2 * tile_elements, tile_elements},
          TilePairs{chunk.values + (blocks.begin * across + c) * tile_elements, across * tile_elements,
                    tile_elements},
          blocks.size(),
          tile.out + c * tile_floats,
          across * tile_floats,
          tile.has_out}
          .run();
    }
  }

  [[nodiscard]] HWY_INLINE float* out_at(const QueryTile& tile, std::int64_t row,
                                         std::int64_t column_tile) const {
    return tile.out + (row / amx::tile * 2 * steps_ + column_tile) * tile_floats +
           row % amx::tile * amx::tile;
  }

  void finish(QueryTile& tile) {
    float* log_sums = results_.log_sum_exp + (sample_ * p_.heads + head_) * p_.rows + tile.rows.begin;
    auto* out = static_cast<std::uint16_t*>(results_.out.data) + sample_ * results_.out.batch +
                head_ * results_.out.head + tile.rows.begin * results_.out.row;
    alignas(64) float factors[queries_at_once];
    for (std::int64_t first = 0; first < tile.rows.size(); first += amx::tile) {
      const __m512 sum = row_sums(&as_vectors(tile)[first]);
      const __mmask16 none = _mm512_cmp_ps_mask(sum, _mm512_setzero_ps(), _CMP_EQ_OQ);
      const __m512 log_sum = _mm512_mul_ps(_mm512_add_ps(_mm512_load_ps(tile.reference + first), log2(sum)),
                                           _mm512_set1_ps(std::numbers::ln2_v<float>));
      _mm512_mask_storeu_ps(log_sums + first, first_of_16(tile.rows.size() - first),
                            _mm512_mask_mov_ps(log_sum, none, _mm512_set1_ps(-infinity)));
      _mm512_store_ps(factors + first, _mm512_mask_mov_ps(_mm512_div_ps(_mm512_set1_ps(1), sum), none, sum));
    }
    for (std::int64_t row = 0; row < tile.rows.size(); ++row, out += results_.out.row) {
      const __m512 factor = _mm512_set1_ps(factors[row]);
      for (std::int64_t step = 0; step < steps_; ++step) {
        __m512i words = _mm512_setzero_si512();
        if (tile.has_out) {
          words = rounded(_mm512_mul_ps(_mm512_load_ps(out_at(tile, row, 2 * step)), factor),
                          _mm512_mul_ps(_mm512_load_ps(out_at(tile, row, 2 * step + 1)), factor));
        }
        store_words(words, out, step, p_.width);
      }
    }
  }

  const IntervalAttention& p_;
  const AttentionForward& results_;
  ForwardScratch& s_;
  const std::int64_t sample_, head_;
  const std::int64_t kv_head_ = head_ / (p_.heads / p_.kv_heads);
  const std::int64_t steps_ = (p_.width + depth - 1) / depth;  // of a sum over a row's elements
  const float factor_ = p_.scale * std::numbers::log2e_v<float>;
  std::uint64_t stream_ = 0;
  float *scores_ = nullptr, *factors_ = nullptr;
  std::uint16_t* queries_ = nullptr;        // [2, steps] tiles
  std::uint16_t* probabilities_ = nullptr;  // [block, 2] tiles
  __m512 sums_[queries_at_once];            // of the chunk
};

}  // namespace

void forward_group(const IntervalAttention& problem, const AttentionForward& results, std::int64_t sample,
                   std::int64_t head, Range group, ForwardScratch& scratch) {
  ForwardGroup(problem, results, sample, head, scratch).run(group);
}

}  // namespace ecp::kernels::amx
ECP_AMX_END
