// Tiles of AMX: eight registers of 16 rows by 64 bytes, and the product of two of them in bfloat16. Every
// tile here is whole, a kilobyte that stands together: as the left operand or the sum 16 rows, as the right
// operand 16 pairs of rows.
//
// The instructions are written out, for g++ 12's intrinsics move loads of tiles across the stores that they
// read.
#pragma once

#include <cstdint>

namespace ecp::kernels::amx {

/// Rows of a tile, its float columns, and its words (pairs of bfloat16).
inline constexpr std::int64_t tile = 16;
/// Elements of bfloat16 in a tile.
inline constexpr std::int64_t tile_elements = 512;
/// Floats in a tile.
inline constexpr std::int64_t tile_floats = 256;
/// What one product sums over.
inline constexpr std::int64_t depth = 32;

/// Asks the system once whether this process may use tiles. False where the processor or the system has none.
bool permitted();

/// Tiles may be used on this thread as long as this lives. What else uses tiles on it, as oneDNN does, may
/// not be called meanwhile.
class Tiles {
 public:
  Tiles();
  ~Tiles();
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};

#if defined(__x86_64__)

template <int Tile>
[[gnu::always_inline]] inline void zero() {
  asm volatile("tilezero %%tmm%c0" ::"i"(Tile));
}
template <int Tile>
[[gnu::always_inline]] inline void load(const void* from) {
  asm volatile("tileloadd (%1,%2,1), %%tmm%c0" ::"i"(Tile), "r"(from), "r"(std::int64_t{64}) : "memory");
}
/// Without a place in the first cache, for what comes from the second and isn't read again soon.
template <int Tile>
[[gnu::always_inline]] inline void load_past(const void* from) {
  asm volatile("tileloaddt1 (%1,%2,1), %%tmm%c0" ::"i"(Tile), "r"(from), "r"(std::int64_t{64}) : "memory");
}
template <int Tile>
[[gnu::always_inline]] inline void store(void* to) {
  asm volatile("tilestored %%tmm%c0, (%1,%2,1)" ::"i"(Tile), "r"(to), "r"(std::int64_t{64}) : "memory");
}
/// Sum += left · right.
template <int Sum, int Left, int Right>
[[gnu::always_inline]] inline void multiply_add() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(Sum), "i"(Left), "i"(Right));
}

/// Two tiles side by side or above each other, step by step along a sum: in elements from one step to the
/// next, and from the first tile to the second.
struct TilePairs {
  const std::uint16_t* at;
  std::int64_t step, second;
};

[[gnu::always_inline]] inline void zero_sums() {
  zero<0>();
  zero<1>();
  zero<2>();
  zero<3>();
}
/// Sums as [2, 2] tiles of floats: from a row of tiles to the next `stride` floats.
[[gnu::always_inline]] inline void load_sums(const float* from, std::int64_t stride = 2 * tile_floats) {
  load<0>(from);
  load<1>(from + tile_floats);
  load<2>(from + stride);
  load<3>(from + stride + tile_floats);
}
[[gnu::always_inline]] inline void store_sums(float* to, std::int64_t stride = 2 * tile_floats) {
  store<0>(to);
  store<1>(to + tile_floats);
  store<2>(to + stride);
  store<3>(to + stride + tile_floats);
}

/// Tiles 0 to 3, [row of tiles, column of tiles], += left · right over `steps`, done half a step at a time,
/// so that other work may stand between. Uses tiles 4 to 7. With `left_passes` the left operand takes no
/// place in the first cache, which so keeps the right one.
template <bool left_passes>
struct BasicTileProduct {
  TilePairs left, right;
  std::int64_t steps;
  float* to;            // of its sums
  std::int64_t stride;  // from one row of tiles there to the next
  bool add;             // to what is there

  [[gnu::always_inline]] void begin() const {
    if (add) {
      load_sums(to, stride);
    } else {
      zero_sums();
    }
  }
  [[gnu::always_inline]] void first_half() const {
    load<6>(right.at);
    load_left<4>(left.at);
    multiply_add<0, 4, 6>();
    load<7>(right.at + right.second);
    multiply_add<1, 4, 7>();
  }
  [[gnu::always_inline]] void second_half() {
    load_left<5>(left.at + left.second);
    multiply_add<2, 5, 6>();
    multiply_add<3, 5, 7>();
    left.at += left.step;
    right.at += right.step;
  }
  [[gnu::always_inline]] void end() const { store_sums(to, stride); }

  template <int Tile>
  [[gnu::always_inline]] static void load_left(const void* from) {
    left_passes ? load_past<Tile>(from) : load<Tile>(from);
  }

  [[gnu::always_inline]] void run() {
    begin();
    for (; steps > 0; --steps) {
      first_half();
      second_half();
    }
    end();
  }
};

using TileProduct = BasicTileProduct<false>;
using PassingTileProduct = BasicTileProduct<true>;

#endif

}  // namespace ecp::kernels::amx
