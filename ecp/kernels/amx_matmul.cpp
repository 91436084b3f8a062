#include "ecp/kernels/amx_matmul.h"

#include <algorithm>
#include <type_traits>

#include "ecp/base/parallel.h"
#include "ecp/kernels/amx.h"
#include "ecp/kernels/amx_matmul_results.h"
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
// A block's sums are made in pieces so short that most of a piece of the panel stays in the first cache.
constexpr std::int64_t piece_steps = 32;
// Longer sums are made in chunks, a block's sums of so many panels kept between them: of a few chunks if that
// will do, for very long sums shorter ones, so that a block has more rows and the right operand passes less
// often.
constexpr std::int64_t chunk_steps = 64;
constexpr std::int64_t most_long_steps = 128;
constexpr std::int64_t group_panels = 32;

constexpr std::int64_t parts_of(std::int64_t count) { return (count + side - 1) / side; }

constexpr std::int64_t in_pieces(std::int64_t steps, std::int64_t most) {
  return std::max<std::int64_t>(1, (steps + most - 1) / most);
}

/// How a product is divided.
struct Division {
  explicit Division(const MatMul& p)
      : steps(parts_of(p.inner)),
        chunks(in_pieces(steps, steps <= most_long_steps ? chunk_steps : piece_steps)),
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

std::int64_t row_sums(std::int64_t rows) { return parts_of(rows); }

std::int64_t matmul_tasks(const MatMul& problem) {
  if (problem.rows <= 0 || problem.columns <= 0) return 0;
  const Division division(problem);
  return division.blocks * division.panels;
}

}  // namespace ecp::kernels::amx

ECP_AMX_BEGIN
namespace ecp::kernels::amx {
namespace {

HalfRows rows_from(Matrix<const std::uint16_t> x, std::int64_t row, std::int64_t column) {
  return {x.data + row * x.stride + column, x.stride};
}
WideRows rows_from(Matrix<const float> x, std::int64_t row, std::int64_t column) {
  return {x.data + row * x.stride + column, x.stride};
}

/// A part's sums of which rows from `next` on are still to be written.
struct Finished {
  const float* sums = nullptr;  // [2, 2] tiles
  std::int64_t next = 0, rows = 0;
};

struct MatMulScratch {
  Scratch left;     // [parts, steps, 2] tiles: a chunk of a block
  Scratch kept;     // [panels, parts, 2, 2] tiles: sums between chunks, or [parts, 2, 2] between pieces
  Scratch results;  // [2, 2, 2] tiles: sums that are being written, and the next ones
};

template <class Results>
class Worker {
 public:
  Worker(const MatMul& problem, MatMulScratch& scratch)
      : p_(problem),
        division_(problem),
        scratch_(scratch),
        sums_(scratch.results.take(2 * part)),
        results_(problem) {}

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
    const bool chunked = division_.chunks > 1;
    float* kept = scratch_.kept.take((chunked ? group_panels : 1) * count * part);
    for (std::int64_t chunk = 0; chunk < division_.chunks; ++chunk) {
      const Share steps = share_of(division_.steps, division_.chunks, chunk);
      const std::uint16_t* const left = packed_left(block, parts, chunk, steps);
      const std::int64_t depth = steps.end - steps.begin;
      const std::int64_t pieces = in_pieces(depth, piece_steps);
      for (std::int64_t panel = first_panel; panel < last_panel; ++panel) {
        float* const panel_kept = chunked ? kept + (panel - first_panel) * count * part : kept;
        const std::uint16_t* const right = p_.right + (panel * division_.steps + steps.begin) * part;
        for (std::int64_t piece = 0; piece < pieces; ++piece) {
          const Share of = share_of(depth, pieces, piece);
          const bool last = piece == pieces - 1;
          run_piece({left + of.begin * part, depth, right + of.begin * part, of.end - of.begin,
                     right + (last ? division_.steps : of.end) * part, panel_kept, chunk > 0 || piece > 0,
                     last && chunk == division_.chunks - 1},
                    parts, panel);
        }
      }
    }
  }

  /// A piece of the sums of a block's parts with a panel.
  struct Piece {
    const std::uint16_t* left;
    std::int64_t left_steps;  // from one part to the next
    const std::uint16_t* right;
    std::int64_t steps;
    const std::uint16_t* next_right;  // the next piece's
    float* kept;                      // sums of the pieces before, if `add`, and of this one, if not `last`
    bool add, last;
  };

  void run_piece(const Piece& piece, Share parts, std::int64_t panel) {
    const std::int64_t each = ahead_of(parts.end - parts.begin);
    for (std::int64_t row_part = parts.begin; row_part < parts.end; ++row_part) {
      const std::int64_t i = row_part - parts.begin;
      // Every other part sums from the end: what of the panel was read last is still in the first cache.
      const std::int64_t from = i % 2 == 0 ? 0 : (piece.steps - 1) * part, step = i % 2 == 0 ? part : -part;
      PassingTileProduct product{{piece.left + i * piece.left_steps * part + from, step, tile_elements},
                                 {piece.right + from, step, tile_elements},
                                 piece.steps,
                                 piece.kept + i * part,
                                 2 * tile_floats,
                                 piece.add};
      // What of the next piece each step asks for, so that all is there in time.
      const std::uint16_t* const ahead = piece.next_right + i * piece.steps * each;
      if (piece.last) {
        finish(product, ahead, each, row_part, panel);
      } else {
        sum(product, ahead, each);
        product.end();
      }
    }
  }

  /// Elements that a step prefetches, whole lines.
  static std::int64_t ahead_of(std::int64_t count) { return (side + count - 1) / count * side; }

  HWY_INLINE void sum(PassingTileProduct& product, const std::uint16_t* ahead, std::int64_t each) {
    product.begin();
    for (; product.steps > 0; --product.steps, ahead += each) {
      for (std::int64_t line = 0; line < each; line += side) prefetch_line(ahead + line);
      product.first_half();
      write_until(std::min(finished_.next + 2, finished_.rows));
      product.second_half();
    }
  }

  /// The last piece of a part's sums.
  HWY_INLINE void finish(PassingTileProduct& product, const std::uint16_t* ahead, std::int64_t each,
                         std::int64_t row_part, std::int64_t panel) {
    const std::int64_t row = row_part * side, column = panel * side;
    const Part here{row, std::min(side, p_.rows - row), column, std::min(side, p_.columns - column)};
    results_.ask(here);
    sum(product, ahead, each);
    write_until(finished_.rows);
    product.to = sums_ + turn_ * part;
    turn_ = 1 - turn_;
    product.end();
    finished_ = {product.to, 0, here.rows};
    results_.begin(here);
  }

  HWY_INLINE void write_until(std::int64_t end) {
    Finished& f = finished_;
    if (f.next == end) return;
    for (; f.next < end; ++f.next) {
      const float* const row = f.sums + f.next / tile * 2 * tile_floats + f.next % tile * tile;
      results_.write(f.next, _mm512_load_ps(row), _mm512_load_ps(row + tile_floats));
    }
    if (f.next == f.rows) results_.end();
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

  const MatMul& p_;
  const Division division_;
  MatMulScratch& scratch_;
  float* const sums_;
  Results results_;
  std::int64_t turn_ = 0, packed_block_ = -1, packed_chunk_ = -1;
  Finished finished_;
};

template <class Results>
void run(const MatMul& problem, std::int64_t begin, std::int64_t end) {
  const Tiles tiles;
  with_scratch<MatMulScratch>(
      true, [&](MatMulScratch& scratch) { Worker<Results>(problem, scratch).run(begin, end); });
}

}  // namespace

template <class T>
void pack_right(Matrix<const T> from, std::int64_t inner, std::int64_t columns, std::uint16_t* to,
                std::int64_t begin, std::int64_t end) {
  constexpr bool stream = std::is_same_v<T, float>;  // a weight's copy is read long after, and by all
  const std::int64_t steps = parts_of(inner), panels = parts_of(columns);
  for (std::int64_t band = begin; band < end; ++band) {
    if (from.transposed) {
      for (std::int64_t step = 0; step < steps; ++step) {
        pack_right<stream>(rows_from(from, band * side, step * side), side, columns - band * side,
                           inner - step * side, 1, to + (band * steps + step) * part);
      }
    } else {
      for (std::int64_t panel = 0; panel < panels; ++panel) {
        pack_right_rows<stream>(rows_from(from, band * side, panel * side), side, inner - band * side,
                                columns - panel * side, 1, to + (panel * steps + band) * part);
      }
    }
  }
  if (stream) _mm_sfence();
}

template void pack_right(Matrix<const float>, std::int64_t, std::int64_t, std::uint16_t*, std::int64_t,
                         std::int64_t);
template void pack_right(Matrix<const std::uint16_t>, std::int64_t, std::int64_t, std::uint16_t*,
                         std::int64_t, std::int64_t);

void matmul(const MatMul& problem, std::int64_t begin, std::int64_t end) {
  if (begin >= end) return;
  const auto chosen = [&] {
    if (problem.gelu != nullptr)
      return problem.gelu->pre == nullptr ? run<GeluResults> : run<GeluGradientResults>;
    if (problem.wide)
      return problem.accumulate ? run<PlainResults<true, true>> : run<PlainResults<true, false>>;
    return problem.accumulate ? run<PlainResults<false, true>> : run<PlainResults<false, false>>;
  }();
  chosen(problem, begin, end);
}

}  // namespace ecp::kernels::amx
ECP_AMX_END
