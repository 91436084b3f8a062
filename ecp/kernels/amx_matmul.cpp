#include "ecp/kernels/amx_matmul.h"

#include <algorithm>

#include "ecp/base/parallel.h"
#include "ecp/kernels/amx.h"
#include "ecp/kernels/amx_packing.h"
#include "ecp/kernels/isa.h"
#include "ecp/kernels/prefetch.h"
#include "ecp/kernels/scratch.h"

namespace ecp::kernels::amx {
namespace {

// A block of the left operand's rows is copied into the form of tiles and stays in the second cache while
// the right operand passes by, panel after panel; for each 32 rows and a panel's 32 columns the sums stay in
// tiles. They are written while the next ones are summed, some rows after each step, and past the caches:
// stores that wait for memory take the places of loads.
constexpr std::int64_t side = 32;           // rows of a block's parts, columns of a panel, depth of a step
constexpr std::int64_t part = side * side;  // elements of two tiles of an operand, and of four of sums
constexpr std::int64_t block_elements = std::int64_t{1} << 19;  // of the left operand: 1 MB
// Longer sums are made in chunks, a block's sums of so many panels kept between them.
constexpr std::int64_t chunk_steps = 32;
constexpr std::int64_t group_panels = 32;

constexpr std::int64_t parts_of(std::int64_t count) { return (count + side - 1) / side; }

/// How a product is divided.
struct Division {
  explicit Division(const MatMul& p)
      : steps(parts_of(p.inner)),
        chunks(std::max<std::int64_t>(1, (steps + chunk_steps - 1) / chunk_steps)),
        panels(parts_of(p.columns)) {
    const std::int64_t longest = std::max<std::int64_t>(1, (steps + chunks - 1) / chunks);
    const std::int64_t most = std::max<std::int64_t>(1, block_elements / (longest * part));
    blocks = (parts_of(p.rows) + most - 1) / most;
  }

  std::int64_t steps, chunks, panels, blocks;
};

}  // namespace

bool has_matmul() { return isa() == Isa::amx_bf16; }

std::int64_t right_elements(std::int64_t inner, std::int64_t columns) {
  return parts_of(inner) * parts_of(columns) * part;
}

std::int64_t right_bands(bool transposed, std::int64_t inner, std::int64_t columns) {
  return parts_of(transposed ? columns : inner);
}

std::int64_t matmul_tasks(const MatMul& problem) {
  if (problem.rows <= 0 || problem.columns <= 0) return 0;
  const Division division(problem);
  return division.blocks * division.panels;
}

}  // namespace ecp::kernels::amx

ECP_AMX_BEGIN
namespace ecp::kernels::amx {
namespace {

HWY_INLINE __m512 widened(__m256i words) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(words), 16));
}

HalfRows rows_from(Matrix<const std::uint16_t> x, std::int64_t row, std::int64_t column) {
  return {x.data + row * x.stride + column, x.stride};
}
WideRows rows_from(Matrix<const float> x, std::int64_t row, std::int64_t column) {
  return {x.data + row * x.stride + column, x.stride};
}

/// Rows of sums that are still to be written: of a panel and up to 32 rows.
struct Finished {
  const float* sums = nullptr;  // [2, 2] tiles
  std::byte* to = nullptr;      // row 0
  std::int64_t next = 0, rows = 0, columns = 0;
  __m512 bias[2];
};

struct MatMulScratch {
  Scratch left;     // [parts, steps, 2] tiles: a chunk of a block
  Scratch kept;     // [panels, parts, 2, 2] tiles: sums between chunks
  Scratch results;  // [2, 2, 2] tiles: sums that are being written, and the next ones
};

template <bool wide, bool accumulate>
class Worker {
 public:
  Worker(const MatMul& problem, MatMulScratch& scratch)
      : p_(problem), division_(problem), scratch_(scratch), results_(scratch.results.take(2 * part)) {}

  void run(std::int64_t begin, std::int64_t end) {
    while (begin < end) {
      const std::int64_t panel = begin % division_.panels;
      const std::int64_t last = std::min({panel + end - begin, panel + group_panels, division_.panels});
      run_group(begin / division_.panels, panel, last);
      begin += last - panel;
    }
    write_until(finished_.rows);
    _mm_sfence();
  }

 private:
  void run_group(std::int64_t block, std::int64_t first_panel, std::int64_t last_panel) {
    const Share parts = share_of(parts_of(p_.rows), division_.blocks, block);
    const std::int64_t count = parts.end - parts.begin;
    float* kept = division_.chunks > 1 ? scratch_.kept.take(group_panels * count * part) : nullptr;
    for (std::int64_t chunk = 0; chunk < division_.chunks; ++chunk) {
      const Share steps = share_of(division_.steps, division_.chunks, chunk);
      const std::uint16_t* const left = packed_left(block, parts, chunk, steps);
      const std::int64_t depth = steps.end - steps.begin;
      const bool last = chunk == division_.chunks - 1;
      for (std::int64_t panel = first_panel; panel < last_panel; ++panel) {
        const std::uint16_t* const right = p_.right + (panel * division_.steps + steps.begin) * part;
        for (std::int64_t i = 0; i < count; ++i) {
          float* const sums = kept + ((panel - first_panel) * count + i) * part;
          TileProduct product{{left + i * depth * part, part, tile_elements},
                              {right, part, tile_elements},
                              depth,
                              sums,
                              2 * tile_floats,
                              chunk > 0};
          // What of the next panel each step asks for, so that all is there in time.
          const std::uint16_t* const ahead = right + division_.steps * part + i * depth * ahead_of(count);
          if (last) {
            finish(product, ahead, ahead_of(count), parts.begin + i, panel);
          } else {
            sum(product, ahead, ahead_of(count));
            product.end();
          }
        }
      }
    }
  }

  /// Elements that a step prefetches, whole lines.
  static std::int64_t ahead_of(std::int64_t count) { return (side + count - 1) / count * side; }

  HWY_INLINE void sum(TileProduct& product, const std::uint16_t* ahead, std::int64_t each) {
    product.begin();
    for (; product.steps > 0; --product.steps, ahead += each) {
      for (std::int64_t line = 0; line < each; line += side) prefetch_line(ahead + line);
      product.first_half();
      write_until(std::min(finished_.next + 2, finished_.rows));
      product.second_half();
    }
  }

  /// The last chunk of a part's sums.
  HWY_INLINE void finish(TileProduct& product, const std::uint16_t* ahead, std::int64_t each,
                         std::int64_t row_part, std::int64_t panel) {
    const std::int64_t row = row_part * side, column = panel * side;
    auto* const to = static_cast<std::byte*>(p_.result) + (row * p_.result_stride + column) * element;
    const std::int64_t rows = std::min(side, p_.rows - row);
    if constexpr (accumulate) {
      for (std::int64_t i = 0; i < rows; ++i) {
        prefetch_line(to + i * p_.result_stride * element);
        if constexpr (wide) prefetch_line(to + i * p_.result_stride * element + 64);
      }
    }
    sum(product, ahead, each);
    write_until(finished_.rows);
    float* const results = results_ + turn_ * part;
    turn_ = 1 - turn_;
    product.to = results;
    product.end();
    finished_ = {results, to, 0, rows, std::min(side, p_.columns - column), {}};
    for (std::int64_t i = 0; i < 2; ++i) {
      const __mmask16 there = first_of_16(finished_.columns - i * tile);
      finished_.bias[i] = p_.bias == nullptr ? _mm512_setzero_ps()
                                             : _mm512_maskz_loadu_ps(there, p_.bias + column + i * tile);
    }
  }

  HWY_INLINE void write_until(std::int64_t end) {
    Finished& f = finished_;
    for (; f.next < end; ++f.next) {
      const float* const sums = f.sums + f.next / tile * 2 * tile_floats + f.next % tile * tile;
      const __m512 low = _mm512_add_ps(_mm512_load_ps(sums), f.bias[0]);
      const __m512 high = _mm512_add_ps(_mm512_load_ps(sums + tile_floats), f.bias[1]);
      std::byte* const to = f.to + f.next * p_.result_stride * element;
      if constexpr (wide) {
        write_floats(low, reinterpret_cast<float*>(to), f.columns);
        write_floats(high, reinterpret_cast<float*>(to) + tile, f.columns - tile);
      } else {
        write_halves(low, high, reinterpret_cast<std::uint16_t*>(to), f.columns);
      }
    }
  }

  static HWY_INLINE void write_floats(__m512 x, float* to, std::int64_t columns) {
    const __mmask16 there = first_of_16(columns);
    if constexpr (accumulate) {
      _mm512_mask_storeu_ps(to, there, _mm512_add_ps(x, _mm512_maskz_loadu_ps(there, to)));
    } else if (columns >= tile && reinterpret_cast<std::uintptr_t>(to) % 64 == 0) {
      _mm512_stream_ps(to, x);
    } else {
      _mm512_mask_storeu_ps(to, there, x);
    }
  }

  static HWY_INLINE void write_halves(__m512 low, __m512 high, std::uint16_t* to, std::int64_t columns) {
    if constexpr (accumulate) {
      const __m512i before = words_at(HalfRows{to, 0}, 0, 1, 0, columns);
      low = _mm512_add_ps(low, widened(_mm512_castsi512_si256(before)));
      high = _mm512_add_ps(high, widened(_mm512_extracti64x4_epi64(before, 1)));
      _mm512_mask_storeu_epi16(to, first_of_32(columns), rounded(low, high));
    } else {
      store_words(rounded(low, high), to, 0, columns);
    }
  }

  /// A chunk of a block of the left operand, packed unless it is there from the group before.
  const std::uint16_t* packed_left(std::int64_t block, Share parts, std::int64_t chunk, Share steps) {
    const std::int64_t depth = steps.end - steps.begin, count = parts.end - parts.begin;
    std::uint16_t* const to = halves(scratch_.left, count * depth * part);
    if (block == packed_block_ && chunk == packed_chunk_) return to;
    packed_block_ = block;
    packed_chunk_ = chunk;
    alignas(64) std::uint16_t pairs[part];
    const auto pack = [&](std::int64_t i, std::int64_t step) {
      const std::int64_t row = (parts.begin + i) * side, at = (steps.begin + step) * side;
      std::uint16_t* const tiles = to + (i * depth + step) * part;
      const std::int64_t rows = std::min(side, p_.rows - row), inner = std::min(side, p_.inner - at);
      if (p_.left.transposed) {
        pack_right_rows(rows_from(p_.left, at, row), side, inner, rows, 1, pairs);
        transpose_tiles(pairs, 2, tiles);
      } else {
        pack_left(rows_from(p_.left, row, at), side, rows, inner, 1, tiles);
      }
    };
    if (p_.left.transposed) {  // stored rows are read one after the other
      for (std::int64_t step = 0; step < depth; ++step) {
        for (std::int64_t i = 0; i < count; ++i) pack(i, step);
      }
    } else {
      for (std::int64_t i = 0; i < count; ++i) {
        for (std::int64_t step = 0; step < depth; ++step) pack(i, step);
      }
    }
    return to;
  }

  static constexpr std::int64_t element = wide ? sizeof(float) : sizeof(std::uint16_t);
  const MatMul& p_;
  const Division division_;
  MatMulScratch& scratch_;
  float* const results_;
  std::int64_t turn_ = 0, packed_block_ = -1, packed_chunk_ = -1;
  Finished finished_;
};

template <bool wide, bool accumulate>
void run(const MatMul& problem, std::int64_t begin, std::int64_t end) {
  const Tiles tiles;
  with_scratch<MatMulScratch>(
      true, [&](MatMulScratch& scratch) { Worker<wide, accumulate>(problem, scratch).run(begin, end); });
}

}  // namespace

template <class T>
void pack_right(Matrix<const T> from, std::int64_t inner, std::int64_t columns, std::uint16_t* to,
                std::int64_t begin, std::int64_t end) {
  const std::int64_t steps = parts_of(inner), panels = parts_of(columns);
  for (std::int64_t band = begin; band < end; ++band) {
    if (from.transposed) {
      for (std::int64_t step = 0; step < steps; ++step) {
        pack_right(rows_from(from, band * side, step * side), side, columns - band * side,
                   inner - step * side, 1, to + (band * steps + step) * part);
      }
    } else {
      for (std::int64_t panel = 0; panel < panels; ++panel) {
        pack_right_rows(rows_from(from, band * side, panel * side), side, inner - band * side,
                        columns - panel * side, 1, to + (panel * steps + band) * part);
      }
    }
  }
}

template void pack_right(Matrix<const float>, std::int64_t, std::int64_t, std::uint16_t*, std::int64_t,
                         std::int64_t);
template void pack_right(Matrix<const std::uint16_t>, std::int64_t, std::int64_t, std::uint16_t*,
                         std::int64_t, std::int64_t);

void matmul(const MatMul& problem, std::int64_t begin, std::int64_t end) {
  if (begin >= end) return;
  const auto chosen = problem.wide ? (problem.accumulate ? run<true, true> : run<true, false>)
                                   : (problem.accumulate ? run<false, true> : run<false, false>);
  chosen(problem, begin, end);
}

}  // namespace ecp::kernels::amx
ECP_AMX_END
