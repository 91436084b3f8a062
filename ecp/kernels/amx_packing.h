// Rows of bfloat16 in memory as tiles of AMX and back; for sources that are compiled between ECP_AMX_BEGIN
// and ECP_AMX_END.
//
// A left operand's tile is 16 rows of 32 elements. A right operand's tile has 16 columns, each of 32 elements
// in pairs: [pair, column]. What a row or a column lacks is zero.
#pragma once

#include <hwy/base.h>

// g++ 12 takes the intrinsics' undefined operands for mistakes.
HWY_DIAGNOSTICS(push)
HWY_DIAGNOSTICS_OFF(disable : 4700, ignored "-Wuninitialized")
HWY_DIAGNOSTICS_OFF(disable : 4701, ignored "-Wmaybe-uninitialized")
#include <immintrin.h>
HWY_DIAGNOSTICS(pop)

#include <algorithm>
#include <cstdint>

#include "ecp/kernels/amx.h"
#include "ecp/kernels/attention_tiles.h"
#include "ecp/kernels/interval_attention.h"
#include "ecp/kernels/scratch.h"
#include "ecp/kernels/sixteenths.h"

#define ECP_AMX_BEGIN \
  HWY_PUSH_ATTRIBUTES("avx512f,avx512vl,avx512dq,avx512bw,avx512bf16,avx512vbmi,bmi,bmi2,fma")
#define ECP_AMX_END HWY_POP_ATTRIBUTES

ECP_AMX_BEGIN
namespace ecp::kernels::amx {

/// Rows of one head, `stride` elements apart.
struct HalfRows {
  const std::uint16_t* data;
  std::int64_t stride;
};

HWY_INLINE HalfRows rows_at(const ReadRows& x, std::int64_t sample, std::int64_t head, std::int64_t row) {
  return {static_cast<const std::uint16_t*>(x.data) + sample * x.batch + head * x.head + row * x.row, x.row};
}

/// Room for `count` numbers of bfloat16.
inline std::uint16_t* halves(Scratch& scratch, std::int64_t count) {
  return reinterpret_cast<std::uint16_t*>(scratch.take(count / 2));
}

/// The first `count` of 32 elements.
HWY_INLINE __mmask32 first_of_32(std::int64_t count) {
  return _bzhi_u32(~0u, static_cast<unsigned>(std::clamp<std::int64_t>(count, 0, 32)));
}

HWY_INLINE __mmask16 first_of_16(std::int64_t count) {
  return static_cast<__mmask16>(
      _bzhi_u32(~0u, static_cast<unsigned>(std::clamp<std::int64_t>(count, 0, 16))));
}

/// Elements [32 step, 32 step + 32) of row `row` of `count`.
HWY_INLINE __m512i words_at(HalfRows rows, std::int64_t row, std::int64_t count, std::int64_t step,
                            std::int64_t width) {
  if (row >= count) return _mm512_setzero_si512();
  const std::uint16_t* from = rows.data + row * rows.stride + step * depth;
  const std::int64_t left = width - step * depth;
  if (left >= depth) return _mm512_loadu_si512(from);
  return _mm512_maskz_loadu_epi16(first_of_32(left), from);
}

/// Two vectors as bfloat16, `low` first.
HWY_INLINE __m512i rounded(__m512 low, __m512 high) {
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
}

/// The same of float32, rounded.
struct WideRows {
  const float* data;
  std::int64_t stride;
};
HWY_INLINE __m512i words_at(WideRows rows, std::int64_t row, std::int64_t count, std::int64_t step,
                            std::int64_t width) {
  if (row >= count) return _mm512_setzero_si512();
  const float* from = rows.data + row * rows.stride + step * depth;
  const std::int64_t left = width - step * depth;
  return rounded(_mm512_maskz_loadu_ps(first_of_16(left), from),
                 _mm512_maskz_loadu_ps(first_of_16(left - 16), from + 16));
}

/// Sixteen vectors of sixteen words, [row, word], become [word, row].
HWY_INLINE void transpose(__m512i (&x)[16]) {
  __m512i y[16];
  for (int i = 0; i < 16; i += 2) {
    y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
    y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    x[i] = _mm512_unpacklo_epi64(y[i], y[i + 2]);
    x[i + 1] = _mm512_unpackhi_epi64(y[i], y[i + 2]);
    x[i + 2] = _mm512_unpacklo_epi64(y[i + 1], y[i + 3]);
    x[i + 3] = _mm512_unpackhi_epi64(y[i + 1], y[i + 3]);
  }
  // x[4 q + w] has in each of its four lanes l word 4 l + w of rows 4 q … 4 q + 3.
  for (int w = 0; w < 4; ++w) {
    const __m512i low01 = _mm512_shuffle_i32x4(x[w], x[4 + w], 0x44);
    const __m512i high01 = _mm512_shuffle_i32x4(x[w], x[4 + w], 0xEE);
    const __m512i low23 = _mm512_shuffle_i32x4(x[8 + w], x[12 + w], 0x44);
    const __m512i high23 = _mm512_shuffle_i32x4(x[8 + w], x[12 + w], 0xEE);
    y[w] = _mm512_shuffle_i32x4(low01, low23, 0x88);
    y[4 + w] = _mm512_shuffle_i32x4(low01, low23, 0xDD);
    y[8 + w] = _mm512_shuffle_i32x4(high01, high23, 0x88);
    y[12 + w] = _mm512_shuffle_i32x4(high01, high23, 0xDD);
  }
  for (int i = 0; i < 16; ++i) x[i] = y[i];
}

/// Rows as a left operand's: to [rows / 16, steps] tiles, `rows` a multiple of 16 of which `count` are there.
inline void pack_left(HalfRows from, std::int64_t rows, std::int64_t count, std::int64_t width,
                      std::int64_t steps, std::uint16_t* to) {
  const bool whole = count == rows && width == steps * depth;
  for (std::int64_t row = 0; row < rows; ++row) {
    std::uint16_t* at = to + (row / tile * steps * tile + row % tile) * depth;
    const std::uint16_t* in = from.data + row * from.stride;
    for (std::int64_t step = 0; step < steps; ++step) {
      _mm512_store_si512(at + step * tile_elements, whole ? _mm512_loadu_si512(in + step * depth)
                                                          : words_at(from, row, count, step, width));
    }
  }
}

/// A line of packed words; with `stream` past the caches, for what isn't read soon.
template <bool stream>
HWY_INLINE void store_line(std::uint16_t* to, __m512i words) {
  stream ? _mm512_stream_si512(reinterpret_cast<__m512i*>(to), words) : _mm512_store_si512(to, words);
}

/// Rows as a right operand's columns: to [rows / 16, steps] tiles.
template <bool stream = false, class Rows>
inline void pack_right(Rows from, std::int64_t rows, std::int64_t count, std::int64_t width,
                       std::int64_t steps, std::uint16_t* to) {
  for (std::int64_t first = 0; first < rows; first += tile) {
    for (std::int64_t step = 0; step < steps; ++step, to += tile_elements) {
      __m512i words[16];
      for (std::int64_t r = 0; r < tile; ++r) words[r] = words_at(from, first + r, count, step, width);
      transpose(words);
      for (std::int64_t w = 0; w < tile; ++w) store_line<stream>(to + w * depth, words[w]);
    }
  }
}

/// Pairs of two rows of 32 elements: of the first 16 columns, of the last.
HWY_INLINE void pair_up(__m512i a, __m512i b, __m512i& first, __m512i& last) {
  const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
  a = _mm512_permutexvar_epi64(order, a);
  b = _mm512_permutexvar_epi64(order, b);
  first = _mm512_unpacklo_epi16(a, b);
  last = _mm512_unpackhi_epi16(a, b);
}

/// Rows as those that a right operand sums over: to [rows / 32, 2 steps] tiles of 16 columns.
template <bool stream = false, class Rows>
inline void pack_right_rows(Rows from, std::int64_t rows, std::int64_t count, std::int64_t width,
                            std::int64_t steps, std::uint16_t* to) {
  for (std::int64_t first = 0; first < rows; first += depth, to += 2 * steps * tile_elements) {
    for (std::int64_t row = 0; row < depth; row += 2) {
      std::uint16_t* at = to + row * tile;
      for (std::int64_t step = 0; step < steps; ++step, at += 2 * tile_elements) {
        __m512i low, high;
        pair_up(words_at(from, first + row, count, step, width),
                words_at(from, first + row + 1, count, step, width), low, high);
        store_line<stream>(at, low);
        store_line<stream>(at + tile_elements, high);
      }
    }
  }
}

/// The same rows as those that a left operand sums over, whose rows are columns: from such a right operand,
/// tile by tile.
inline void transpose_tiles(const std::uint16_t* from, std::int64_t tiles, std::uint16_t* to) {
  for (std::int64_t i = 0; i < tiles; ++i, from += tile_elements, to += tile_elements) {
    __m512i words[16];
    for (std::int64_t r = 0; r < tile; ++r) words[r] = _mm512_load_si512(from + r * depth);
    transpose(words);
    for (std::int64_t w = 0; w < tile; ++w) _mm512_store_si512(to + w * depth, words[w]);
  }
}

/// Pairs of bfloat16: a's numbers, and above them b's.
HWY_INLINE __m512i rounded_pairs(__m512 a, __m512 b) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7,
                                         22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(order, rounded(a, b));
}

/// Elements [32 step, 32 step + 32) of a row of results, past the caches where they are a whole line of
/// memory.
HWY_INLINE void store_words(__m512i words, std::uint16_t* row, std::int64_t step, std::int64_t width) {
  const std::int64_t left = width - step * depth;
  std::uint16_t* to = row + step * depth;
  if (left >= depth && reinterpret_cast<std::uintptr_t>(to) % 64 == 0) {
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to), words);
  } else if (left >= depth) {
    _mm512_storeu_si512(to, words);
  } else {
    _mm512_mask_storeu_epi16(row + step * depth, first_of_32(left), words);
  }
}

/// 2^x with relative error below 6e-7; infinity and zero beyond float's range, NaN where x isn't finite. Zero
/// where `seen` is not set.
///
/// While tiles multiply, one port of two is left for products and maxima of wide vectors, but both for sums:
/// hence a table of sixteenths and a short polynomial.
HWY_INLINE __m512 exp2(__m512 x, __mmask16 seen) {
  const __m512 large = _mm512_set1_ps(0x1.8p19f);  // whose last bit is a sixteenth
  const __m512 shifted = _mm512_add_ps(x, large);
  const __m512 rounded = _mm512_sub_ps(shifted, large);
  const __m512 f = _mm512_sub_ps(x, rounded);
  const __m512 power = _mm512_permutexvar_ps(_mm512_castps_si512(shifted), _mm512_load_ps(sixteenths));
  const __m512 slope = _mm512_fmadd_ps(_mm512_set1_ps(0.2402332f), f, _mm512_set1_ps(0.6931878f));
  const __m512 p = _mm512_fmadd_ps(_mm512_mul_ps(power, f), slope, power);
  return _mm512_maskz_scalef_ps(seen, p, rounded);  // by 2 to the floor of it
}

/// log2 of positive numbers, with an error below 1e-6 or as many parts of it; NaN and infinity remain.
HWY_INLINE __m512 log2(__m512 x) {
  // x = 2^e m with m in [0.75, 1.5): log2 m = 2 / ln 2 · artanh((m − 1) / (m + 1)).
  const __m512 m = _mm512_getmant_ps(x, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_src);
  const __m512 e = _mm512_getexp_ps(_mm512_div_ps(x, m));
  const __m512 one = _mm512_set1_ps(1);
  const __m512 t = _mm512_div_ps(_mm512_sub_ps(m, one), _mm512_add_ps(m, one)), t2 = _mm512_mul_ps(t, t);
  __m512 p = _mm512_set1_ps(2.8853901f / 7);
  p = _mm512_fmadd_ps(p, t2, _mm512_set1_ps(2.8853901f / 5));
  p = _mm512_fmadd_ps(p, t2, _mm512_set1_ps(2.8853901f / 3));
  p = _mm512_fmadd_ps(p, t2, _mm512_set1_ps(2.8853901f));
  return _mm512_fmadd_ps(p, t, e);
}

/// The sum of each of sixteen vectors.
HWY_INLINE __m512 row_sums(const __m512* rows) {
  __m512i x[16];
  for (int i = 0; i < 16; ++i) x[i] = _mm512_castps_si512(rows[i]);
  transpose(x);
  __m512 sums[4];
  for (int i = 0; i < 4; ++i) {
    sums[i] = _mm512_add_ps(_mm512_add_ps(_mm512_castsi512_ps(x[i]), _mm512_castsi512_ps(x[4 + i])),
                            _mm512_add_ps(_mm512_castsi512_ps(x[8 + i]), _mm512_castsi512_ps(x[12 + i])));
  }
  return _mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3]));
}

}  // namespace ecp::kernels::amx
ECP_AMX_END
