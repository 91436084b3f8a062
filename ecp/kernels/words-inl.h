// What tiles of attention are computed with, per instruction set: one matrix product on words, and 2^x.
//
// A word is 32 bits: a float, or two bfloat16 that stand one after the other in the direction of a sum. With
// both operands laid out as [depth, columns] words every product of attention is
//
//   C [rows, columns] += Σ_k A[k, row] · B[k, column]
//
// where a word of A is broadcast and a vector of B loaded, so that one routine serves float32 (multiply-add)
// and bfloat16 (dot product of pairs, AVX512-BF16).
#if defined(ECP_KERNELS_WORDS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ECP_KERNELS_WORDS_INL_H_
#undef ECP_KERNELS_WORDS_INL_H_
#else
#define ECP_KERNELS_WORDS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

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
};

/// Word i holds a[i] and, above it, b[i], rounded to bfloat16.
HWY_INLINE VF interleave_pairs(VF a, VF b) {
  alignas(64) static constexpr std::uint16_t order[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                          21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                          11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(b.raw, a.raw);
  return VF{_mm512_castsi512_ps(_mm512_permutexvar_epi16(_mm512_load_si512(order), both))};
}

/// a's 16 numbers, then b's, rounded to bfloat16: as rows of bfloat16 stand in memory.
HWY_INLINE VF concatenate_pairs(VF a, VF b) {
  return VF{_mm512_castsi512_ps((__m512i)_mm512_cvtne2ps_pbh(b.raw, a.raw))};
}
#endif

/// A matrix of words or floats, rows `stride` apart.
struct ReadWords {
  const float* data;
  std::int64_t stride;
  [[nodiscard]] ReadWords at(std::int64_t row, std::int64_t column) const {
    return {data + row * stride + column, stride};
  }
};
struct WriteWords {
  float* data;
  std::int64_t stride;
  [[nodiscard]] WriteWords at(std::int64_t row, std::int64_t column) const {
    return {data + row * stride + column, stride};
  }
  operator ReadWords() const { return {data, stride}; }
};

constexpr int panel_rows = many_registers ? 8 : 4;
constexpr int panel_vectors = many_registers ? 3 : 2;

/// Calls f(0) … f(N − 1) with constants, so that what they index stays in registers.
template <int N, class F>
HWY_INLINE void unrolled(const F& f) {
  const auto all = [&]<int... i>(std::integer_sequence<int, i...>) HWY_ATTR {
    (f(std::integral_constant<int, i>()), ...);
  };
  all(std::make_integer_sequence<int, N>());
}

/// `panel_rows` rows by `Vectors` vectors of C, kept in registers.
template <class Engine, int Vectors, bool accumulate>
HWY_NOINLINE void multiply_panel(std::int64_t depth, ReadWords a, ReadWords b, WriteWords c) {
  const Floats d;
  VF sum[panel_rows][Vectors];
  unrolled<panel_rows>([&](auto r) HWY_ATTR {
    unrolled<Vectors>([&](auto v) HWY_ATTR {
      sum[r][v] = accumulate ? hn::LoadU(d, c.data + r * c.stride + v * lanes) : hn::Zero(d);
    });
  });
  const float* HWY_RESTRICT x = a.data;
  const float* HWY_RESTRICT y = b.data;
  for (std::int64_t k = 0; k < depth; ++k) {
    VF column[Vectors];
    unrolled<Vectors>([&](auto v) HWY_ATTR { column[v] = hn::LoadU(d, y + v * lanes); });
    unrolled<panel_rows>([&](auto r) HWY_ATTR {
      const VF row = hn::Set(d, x[r]);
      unrolled<Vectors>([&](auto v)
                            HWY_ATTR { sum[r][v] = Engine::multiply_add(row, column[v], sum[r][v]); });
    });
    x += a.stride;
    y += b.stride;
  }
  unrolled<panel_rows>([&](auto r) HWY_ATTR {
    unrolled<Vectors>([&](auto v) HWY_ATTR { hn::StoreU(sum[r][v], d, c.data + r * c.stride + v * lanes); });
  });
}

/// C [rows, columns] = or += Aᵀ·B, A [depth, rows], B [depth, columns] in words; rows a multiple of 8,
/// columns of `lanes`.
template <class Engine, bool accumulate>
HWY_INLINE void multiply(std::int64_t rows, std::int64_t columns, std::int64_t depth, ReadWords a,
                         ReadWords b, WriteWords c) {
  std::int64_t vectors = columns / lanes;
  for (std::int64_t column = 0; vectors > 0;) {
    // Four are two and two, which is faster than three and one.
    const std::int64_t now = vectors == 4 ? 2 : std::min<std::int64_t>(vectors, panel_vectors);
    for (std::int64_t row = 0; row < rows; row += panel_rows) {
      const ReadWords left = a.at(0, row), right = b.at(0, column);
      const WriteWords to = c.at(row, column);
      switch (now) {
        case 1:
          multiply_panel<Engine, 1, accumulate>(depth, left, right, to);
          break;
        case 2:
          multiply_panel<Engine, 2, accumulate>(depth, left, right, to);
          break;
        default:
          multiply_panel<Engine, panel_vectors, accumulate>(depth, left, right, to);
      }
    }
    column += now * lanes;
    vectors -= now;
  }
}

HWY_INLINE void fill(WriteWords to, std::int64_t rows, std::int64_t columns, float value) {
  const Floats d;
  const VF x = hn::Set(d, value);
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t c = 0; c < columns; c += lanes) hn::StoreU(x, d, to.data + row * to.stride + c);
  }
}

/// 2^x for x ≤ 127 with relative error below 3e-7; never below 2^-125, which is nothing beside a sum of at
/// least 1, so that it takes no test; NaN where x is.
HWY_INLINE VF exp2(VF x) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const VF bounded = hn::Max(hn::Set(d, -125.0f), x);  // in this order x86 keeps NaN
  const VF n = hn::Round(bounded);
  const VF f = hn::Sub(bounded, n);
  VF p = hn::Set(d, 1.327647198e-3f);
  p = hn::MulAdd(p, f, hn::Set(d, 9.675541334e-3f));
  p = hn::MulAdd(p, f, hn::Set(d, 5.550713274e-2f));
  p = hn::MulAdd(p, f, hn::Set(d, 2.402211972e-1f));
  p = hn::MulAdd(p, f, hn::Set(d, 6.931469671e-1f));
  p = hn::MulAdd(p, f, hn::Set(d, 1.000000072e+00f));
  const auto power = hn::ShiftLeft<23>(hn::ConvertTo(di, n));
  return hn::BitCast(d, hn::Add(hn::BitCast(di, p), power));
}

}  // namespace ecp::kernels::HWY_NAMESPACE
#if ECP_PAIRS
#pragma GCC pop_options
#endif
HWY_AFTER_NAMESPACE();

#endif
