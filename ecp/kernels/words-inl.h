// What tiles of attention are computed with, per instruction set: one matrix product on words, and 2^x.
//
// A word is 32 bits: a float, or two bfloat16 that stand one after the other in the direction of a sum. Every
// product of attention is
//
//   result [rows, columns] += Σ_k left[k, row] · right[k, column]
//
// where a word of the left operand is broadcast and a vector of the right one loaded, so that one routine
// serves float32 (multiply-add) and bfloat16 (dot product of pairs, AVX512-BF16).
#if defined(ECP_KERNELS_WORDS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ECP_KERNELS_WORDS_INL_H_
#undef ECP_KERNELS_WORDS_INL_H_
#else
#define ECP_KERNELS_WORDS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "ecp/kernels/sixteenths.h"

// g++ and Highway 1.0 have no target with AVX512-BF16: what AVX-512 compiles here may use it, and the caller
// asks before it calls what does.
#undef ECP_PAIRS
#if HWY_TARGET == HWY_AVX3 && defined(__GNUC__) && !defined(__clang__)
#define ECP_PAIRS 1
#else
#define ECP_PAIRS 0
#endif

HWY_BEFORE_NAMESPACE();
#if ECP_PAIRS
#pragma GCC push_options
#pragma GCC target("avx512bf16")
#endif
namespace ecp::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, 16>;
using VF = hn::Vec<Floats>;
constexpr std::int64_t lanes = hn::MaxLanes(Floats());
constexpr bool many_registers = lanes >= 16;  // AVX-512 has 32, the others 16

constexpr std::int64_t round_up(std::int64_t x, std::int64_t multiple) {
  return (x + multiple - 1) / multiple * multiple;
}

/// Words are floats.
struct FloatWords {
  static constexpr std::int64_t group = 1;  // elements in a word
  static HWY_INLINE VF multiply_add(VF a, VF b, VF c) { return hn::MulAdd(a, b, c); }
};

#if ECP_PAIRS
/// Words are pairs of bfloat16, kept in floats whose value means nothing.
struct PairWords {
  static constexpr std::int64_t group = 2;
  static HWY_INLINE VF multiply_add(VF a, VF b, VF c) {
    return VF{_mm512_dpbf16_ps(c.raw, (__m512bh)a.raw, (__m512bh)b.raw)};
  }
  /// Word i holds a[i] and, above it, b[i], rounded to bfloat16.
  static HWY_INLINE VF interleave(VF a, VF b) {
    alignas(64) static constexpr std::uint16_t order[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                            21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                            11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(b.raw, a.raw);
    return VF{_mm512_castsi512_ps(_mm512_permutexvar_epi16(_mm512_load_si512(order), both))};
  }
  /// a's 16 numbers, then b's, rounded to bfloat16: as rows of bfloat16 stand in memory.
  static HWY_INLINE VF concatenate(VF a, VF b) {
    return VF{_mm512_castsi512_ps((__m512i)_mm512_cvtne2ps_pbh(b.raw, a.raw))};
  }
};
#endif

// The two operands lie as the product walks over them, so that a few kilobytes at a time are read from one
// end to the other: the left one in panels of 8 rows, the right one and the result in panels of two vectors.
constexpr std::int64_t left_rows = 8;
constexpr std::int64_t panel = 2 * lanes;

/// The left operand: [rows / 8, depth and some, 8] words. Panels don't follow each other at powers of two:
/// writing a row to all of them, they would fight for the same few places of the nearest cache.
struct Left {
  Left() = default;
  Left(float* memory, std::int64_t depth) : data(memory), stride(depth + 2) {}
  /// Words that such an operand takes.
  static constexpr std::int64_t size(std::int64_t rows, std::int64_t depth) {
    return round_up(rows, left_rows) * (depth + 2);
  }
  /// The word at (k, row); row is a multiple of 8.
  [[nodiscard]] float* at(std::int64_t k, std::int64_t row) const {
    return data + (row / left_rows * stride + k) * left_rows;
  }

  float* data = nullptr;
  std::int64_t stride = 0;  // from a panel to the next, in 8 words
};

/// Rows [begin, end) of a panel of floats as words, at the place of rows [begin / group, …): in place, as
/// words are written after what they are made of was read.
template <class Engine>
HWY_INLINE void to_words(float* rows, std::int64_t begin, std::int64_t end) {
  if constexpr (Engine::group == 2) {
    const Floats d;
    for (std::int64_t k = begin; k < end; k += 2) {
      for (std::int64_t c = 0; c < panel; c += lanes) {
        const float* at = rows + k * panel + c;
        const VF words = Engine::interleave(hn::LoadU(d, at), hn::LoadU(d, at + panel));
        hn::StoreU(words, d, rows + k / 2 * panel + c);
      }
    }
  }
}

/// Calls f(0) … f(N − 1) with constants, so that what they index stays in registers.
template <int N, class F>
HWY_INLINE void unrolled(const F& f) {
  const auto all = [&]<int... i>(std::integer_sequence<int, i...>) HWY_ATTR {
    (f(std::integral_constant<int, i>()), ...);
  };
  all(std::make_integer_sequence<int, N>());
}

/// `Rows` rows of a panel of the result, kept in registers.
template <class Engine, int Rows, int Vectors, bool accumulate>
HWY_NOINLINE void multiply_rows(std::int64_t depth, const float* HWY_RESTRICT left,
                                const float* HWY_RESTRICT right, float* HWY_RESTRICT result) {
  const Floats d;
  VF sum[Rows][Vectors];
  unrolled<Rows>([&](auto r) HWY_ATTR {
    unrolled<Vectors>([&](auto v) HWY_ATTR {
      sum[r][v] = accumulate ? hn::LoadU(d, result + r * panel + v * lanes) : hn::Zero(d);
    });
  });
  for (std::int64_t k = 0; k < depth; ++k) {
    VF column[Vectors];
    unrolled<Vectors>([&](auto v) HWY_ATTR { column[v] = hn::LoadU(d, right + k * panel + v * lanes); });
    unrolled<Rows>([&](auto r) HWY_ATTR {
      const VF row = hn::Set(d, left[k * left_rows + r]);
      unrolled<Vectors>([&](auto v)
                            HWY_ATTR { sum[r][v] = Engine::multiply_add(row, column[v], sum[r][v]); });
    });
  }
  unrolled<Rows>([&](auto r) HWY_ATTR {
    unrolled<Vectors>([&](auto v) HWY_ATTR { hn::StoreU(sum[r][v], d, result + r * panel + v * lanes); });
  });
}

/// result [rows, panel] = or += left · right over words [k, k + depth) of both; rows a multiple of 8, counted
/// from `row` of `left`. `right` and `result` stand where the product begins. One vector, or two.
template <class Engine, bool accumulate>
HWY_INLINE void multiply(std::int64_t rows, std::int64_t vectors, std::int64_t depth, const Left& left,
                         std::int64_t k, std::int64_t row, const float* right, float* result) {
  constexpr int at_once = many_registers ? 8 : 4;
  for (std::int64_t r = 0; r < rows; r += at_once) {
    const float* from = left.at(k, row + r / left_rows * left_rows) + r % left_rows;
    float* to = result + r * panel;
    if (vectors == 2) {
      multiply_rows<Engine, at_once, 2, accumulate>(depth, from, right, to);
    } else {
      multiply_rows<Engine, at_once, 1, accumulate>(depth, from, right, to);
    }
  }
}

/// 2^x for x ≤ 127 with relative error below 3e-7; below 2^-125 that or less, which is nothing beside a sum
/// of at least 1, so that it takes no test; NaN where x is.
HWY_INLINE VF exp2(VF x) {
  const Floats d;
#if HWY_TARGET == HWY_AVX3
  const VF large = hn::Set(d, 0x1.8p19f);  // whose last bit is a sixteenth
  const VF shifted = hn::Add(x, large);    // the permutation takes its index from the lowest bits
  const VF rounded = hn::Sub(shifted, large);
  const VF f{_mm512_reduce_ps(x.raw, 4 << 4)};  // x - rounded, and 0 where x is infinite
  const VF power{_mm512_permutexvar_ps(_mm512_castps_si512(shifted.raw), hn::Load(d, sixteenths).raw)};
  VF slope = hn::Set(d, 5.5504109e-2f);
  slope = hn::MulAdd(slope, f, hn::Set(d, 2.402265070e-1f));
  slope = hn::MulAdd(slope, f, hn::Set(d, 6.931471806e-1f));
  const VF p = hn::MulAdd(hn::Mul(power, f), slope, power);
  return VF{_mm512_scalef_ps(p.raw, rounded.raw)};  // by 2 to the floor of it
#else
  const hn::RebindToSigned<Floats> di;
  const VF bounded = hn::Max(hn::Set(d, -125.0f), x);  // in this order x86 keeps NaN
  // Beside so large a number there is no room for fractions: the sum's lowest bits are the integer.
  const VF large = hn::Set(d, 0x1.8p23f);
  const VF shifted = hn::Add(bounded, large);
  const VF f = hn::Sub(bounded, hn::Sub(shifted, large));
  VF p = hn::Set(d, 1.327647198e-3f);
  p = hn::MulAdd(p, f, hn::Set(d, 9.675541334e-3f));
  p = hn::MulAdd(p, f, hn::Set(d, 5.550713274e-2f));
  p = hn::MulAdd(p, f, hn::Set(d, 2.402211972e-1f));
  p = hn::MulAdd(p, f, hn::Set(d, 6.931469671e-1f));
  p = hn::MulAdd(p, f, hn::Set(d, 1.000000072e+00f));
  const auto power = hn::ShiftLeft<23>(hn::BitCast(di, shifted));
  return hn::BitCast(d, hn::Add(hn::BitCast(di, p), power));
#endif
}

}  // namespace ecp::kernels::HWY_NAMESPACE
#if ECP_PAIRS
#pragma GCC pop_options
#endif
HWY_AFTER_NAMESPACE();

#endif
