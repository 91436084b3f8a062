// Rows of elements in memory as words (words-inl.h) and back.
#if defined(ECP_KERNELS_PACKING_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ECP_KERNELS_PACKING_INL_H_
#undef ECP_KERNELS_PACKING_INL_H_
#else
#define ECP_KERNELS_PACKING_INL_H_
#endif

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include "ecp/kernels/attention_tiles.h"
#include "ecp/kernels/load-inl.h"
#include "ecp/kernels/prefetch.h"
#include "ecp/kernels/words-inl.h"

HWY_BEFORE_NAMESPACE();
#if ECP_PAIRS
#pragma GCC push_options
#pragma GCC target("avx512bf16")
#endif
namespace ecp::kernels::HWY_NAMESPACE {

// Rows of elements E (float, or bfloat16 as std::uint16_t), `stride` elements apart.
template <class E>
struct Rows {
  const E* data;
  std::int64_t stride;
};

/// The rows of one head from `row` on.
template <class E>
HWY_INLINE Rows<E> rows_at(const ReadRows& x, std::int64_t sample, std::int64_t head, std::int64_t row) {
  return {static_cast<const E*>(x.data) + sample * x.batch + head * x.head + row * x.row, x.row};
}

/// Words in a row of `width` elements.
template <class Engine>
constexpr std::int64_t words_of(std::int64_t width) {
  return (width + Engine::group - 1) / Engine::group;
}

#if HWY_TARGET == HWY_SCALAR

template <class E>
float element(const E* x) {
  if constexpr (sizeof(E) == 4) return *x;
  return std::bit_cast<float>(static_cast<std::uint32_t>(*x) << 16);
}

template <class Engine, class E, class Place>
void pack_transposed(Rows<E> rows, std::int64_t count, std::int64_t width, bool negate, const Place& place) {
  static_assert(Engine::group == 1);
  for (std::int64_t row = 0; row < count; ++row) {
    const auto word = [&](std::int64_t c) {
      const float x = c < width ? element(rows.data + row * rows.stride + c) : 0;
      return hn::Set(Floats(), negate ? -x : x);
    };
    for (std::int64_t c = 0; c < round_up(width, 4); c += 2) place(c, row, word(c), word(c + 1));
  }
}

template <class Engine, class E>
void pack_rows(Rows<E> rows, std::int64_t count, std::int64_t width, const Left& to) {
  for (std::int64_t row = 0; row < count; ++row) {
    for (std::int64_t c = 0; c < round_up(width, left_rows); ++c) {
      to.at(row, c)[c % left_rows] = c < width ? element(rows.data + row * rows.stride + c) : 0;
    }
  }
}

HWY_INLINE void store_left(VF a, VF b, const Left& to, std::int64_t k, std::int64_t row) {
  hn::StoreU(a, Floats(), to.at(k, row) + row % left_rows);
  hn::StoreU(b, Floats(), to.at(k + 1, row) + row % left_rows);
}

template <class E>
void unpack_transposed(const float* from, const float* factors, std::int64_t count, std::int64_t width,
                       E* rows, std::int64_t stride) {
  for (std::int64_t row = 0; row < count; ++row) {
    for (std::int64_t c = 0; c < width; ++c) {
      const float x = from[c * panel + row] * (factors != nullptr ? factors[row] : 1);
      if constexpr (sizeof(E) == 4) {
        rows[row * stride + c] = x;
      } else {
        const auto bits = std::bit_cast<std::uint32_t>(x);
        const std::uint32_t rounded = bits + 0x7FFFu + (bits >> 16 & 1u);
        rows[row * stride + c] = static_cast<E>((x != x ? bits | 0x400000u : rounded) >> 16);
      }
    }
  }
}

template <class E>
float row_dot(const E* a, const E* b, std::int64_t width) {
  float sum = 0;
  for (std::int64_t c = 0; c < width; ++c) sum += element(a + c) * element(b + c);
  return sum;
}

#else

using Four = hn::FixedTag<float, 4>;
using V4 = hn::Vec<Four>;

/// Words [4·i, 4·i + 4) of a row; without `whole` there may be fewer elements, and the rest is zero.
template <class Engine, bool whole, class E>
HWY_INLINE V4 four_words(const E* row, std::int64_t i, std::int64_t width) {
  const Four d;
  constexpr std::int64_t elements = 4 * Engine::group;
  E padded[elements];
  const E* from = row + i * elements;
  if constexpr (!whole) {
    if (const std::int64_t left = width - i * elements; left < elements) {
      for (std::int64_t e = 0; e < elements; ++e) padded[e] = e < left ? from[e] : E{0};
      from = padded;
    }
  }
  if constexpr (sizeof(E) == 4) {
    return hn::LoadU(d, from);
  } else if constexpr (Engine::group == 2) {
    const hn::Repartition<std::uint16_t, Four> du16;
    return hn::BitCast(d, hn::LoadU(du16, from));
  } else {
    const hn::RebindToUnsigned<Four> du;
    const hn::Rebind<std::uint16_t, Four> du16;
    return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(du, hn::LoadU(du16, from))));
  }
}

/// The vector whose blocks are block(0), block(1) …
template <class Block>
HWY_INLINE VF of_blocks(const Block& block) {
  const Floats d;
  if constexpr (lanes == 16) {
    const hn::FixedTag<float, 8> half;
    return hn::Combine(d, hn::Combine(half, block(3), block(2)), hn::Combine(half, block(1), block(0)));
  } else if constexpr (lanes == 8) {
    return hn::Combine(d, block(1), block(0));
  } else {
    return block(0);
  }
}

/// take(b, block b of v) for each block.
template <class Vector, class Take>
HWY_INLINE void each_block(Vector v, const Take& take) {
  const Four four;
  if constexpr (lanes == 16) {
    const hn::FixedTag<float, 8> half;
    const auto low = hn::LowerHalf(half, v), high = hn::UpperHalf(half, v);
    take(0, hn::LowerHalf(four, low));
    take(1, hn::UpperHalf(four, low));
    take(2, hn::LowerHalf(four, high));
    take(3, hn::UpperHalf(four, high));
  } else if constexpr (lanes == 8) {
    take(0, hn::LowerHalf(four, v));
    take(1, hn::UpperHalf(four, v));
  } else {
    take(0, v);
  }
}

/// In each block, the four columns of four rows become rows.
HWY_INLINE void transpose(VF (&x)[4]) {
  const Floats d;
  const VF low02 = hn::InterleaveLower(d, x[0], x[2]), low13 = hn::InterleaveLower(d, x[1], x[3]);
  const VF high02 = hn::InterleaveUpper(d, x[0], x[2]), high13 = hn::InterleaveUpper(d, x[1], x[3]);
  x[0] = hn::InterleaveLower(d, low02, low13);
  x[1] = hn::InterleaveUpper(d, low02, low13);
  x[2] = hn::InterleaveLower(d, high02, high13);
  x[3] = hn::InterleaveUpper(d, high02, high13);
}

/// A vector's width of rows from `row` on, of which `whole`: there are as many, of whole fours of words.
template <class Engine, bool whole, class E, class Place>
HWY_INLINE void pack_lanes(Rows<E> rows, std::int64_t row, std::int64_t count, std::int64_t width, VF sign,
                           const Place& place) {
  const std::int64_t quads = (words_of<Engine>(width) + 3) / 4;
  for (std::int64_t i = 0; i < quads; ++i) {
    VF word[4];
    for (std::int64_t r = 0; r < 4; ++r) {
      word[r] = of_blocks([&](std::int64_t b) HWY_ATTR {
        const std::int64_t at = row + 4 * b + r;
        if (!whole && at >= count) return hn::Zero(Four());
        return four_words<Engine, whole, E>(rows.data + at * rows.stride, i, width);
      });
    }
    transpose(word);
    for (std::int64_t w = 0; w < 4; w += 2) {
      place(4 * i + w, row, hn::Xor(word[w], sign), hn::Xor(word[w + 1], sign));
    }
  }
}

/// place(word, row, its vector, the next word's) for every other word of the rows, `lanes` rows at a time;
/// rows past `count` are zero, as are words up to the next multiple of four. `negate`: with their signs
/// turned.
template <class Engine, class E, class Place>
HWY_INLINE void pack_transposed(Rows<E> rows, std::int64_t count, std::int64_t width, bool negate,
                                const Place& place) {
  const Floats d;
  const hn::RebindToUnsigned<Floats> du;
  const std::uint32_t signs = Engine::group == 2 ? 0x80008000u : 0x80000000u;
  const VF sign = hn::BitCast(d, hn::Set(du, negate ? signs : 0u));
  std::int64_t row = 0;
  if (width % (4 * Engine::group) == 0) {
    for (; row + lanes <= count; row += lanes) pack_lanes<Engine, true>(rows, row, count, width, sign, place);
  }
  for (; row < count; row += lanes) pack_lanes<Engine, false>(rows, row, count, width, sign, place);
}

/// Stores vectors of a left operand's words k and k + 1, `row` on: each 8 of them in a panel of their own,
/// where those of k + 1 follow those of k.
template <class Vector>
HWY_INLINE void store_left(Vector a, Vector b, Left to, std::int64_t k, std::int64_t row) {
  const Floats d;
  float* at = to.at(k, row) + row % left_rows;
  if constexpr (lanes == 16) {  // whole lines instead of halves
    hn::StoreU(hn::ConcatLowerLower(d, b, a), d, at);
    hn::StoreU(hn::ConcatUpperUpper(d, b, a), d, to.at(k, row + left_rows));
  } else {
    hn::StoreU(a, d, at);
    hn::StoreU(b, d, at + left_rows);
  }
}

/// `lanes` elements of a row as floats.
template <class E>
HWY_INLINE VF floats_of(const E* from) {
  return load_floats(Floats(), from);
}

/// The words of which a and b, floats whose lower halves are zero if words are pairs, are the elements.
template <class Engine>
HWY_INLINE VF word_of(VF a, VF b) {
  if constexpr (Engine::group == 1) {
    return a;
  } else {
    const Floats d;
    const hn::RebindToUnsigned<Floats> du;
    return hn::BitCast(d, hn::Or(hn::ShiftRight<16>(hn::BitCast(du, a)), hn::BitCast(du, b)));
  }
}

/// The rows as a left operand whose rows are columns: words along the rows, columns from `width` to the next
/// multiple of 8 zero, rows that a word lacks at the end zero, as is one more word after an odd number.
template <class Engine, class E>
HWY_INLINE void pack_rows(Rows<E> rows, std::int64_t count, std::int64_t width, Left to) {
  constexpr std::int64_t group = Engine::group;
  for (std::int64_t row = 0; row < count; row += 2 * group) {  // two words at a time
    const E* from[2 * group];
    for (std::int64_t r = 0; r < 2 * group; ++r) {
      from[r] = row + r < count ? rows.data + (row + r) * rows.stride : nullptr;
    }
    const auto floats = [&](std::int64_t r, std::int64_t c) HWY_ATTR {
      return from[r] != nullptr ? floats_of(from[r] + c) : hn::Zero(Floats());
    };
    const auto word = [&](std::int64_t w, std::int64_t c) HWY_ATTR {
      return word_of<Engine>(floats(w * group, c), floats(w * group + group - 1, c));
    };
    std::int64_t c = 0;
    for (; c + lanes <= width; c += lanes) store_left(word(0, c), word(1, c), to, row / group, c);
    for (; c < round_up(width, left_rows); ++c) {
      const auto element = [&](std::int64_t r) {
        return from[r] != nullptr && c < width ? from[r][c] : E{0};
      };
      for (std::int64_t w = 0; w < 2; ++w) {
        const E pair[2] = {element(w * group), element(w * group + group - 1)};
        float* out = to.at(row / group + w, c) + c % left_rows;
        if constexpr (group == 2) {
          std::memcpy(out, pair, sizeof pair);
        } else if constexpr (sizeof(E) == 4) {
          *out = pair[0];
        } else {
          *out = std::bit_cast<float>(static_cast<std::uint32_t>(pair[0]) << 16);
        }
      }
    }
  }
}

/// Each of a's numbers, rounded to bfloat16, and above it b's.
HWY_INLINE VF rounded_pairs(VF a, VF b) {
  const Floats d;
  const hn::RebindToUnsigned<Floats> du;
  const auto rounded = [&](VF x) HWY_ATTR {  // in the upper half
    const auto bits = hn::BitCast(du, x);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
    const auto nearest = hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7FFFu)));
    const auto quiet = hn::Or(bits, hn::Set(du, 0x400000u));
    return hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(x)), quiet, nearest);
  };
  const auto upper = hn::And(rounded(b), hn::Set(du, 0xFFFF0000u));
  return hn::BitCast(d, hn::Or(hn::ShiftRight<16>(rounded(a)), upper));
}

#if HWY_TARGET == HWY_AVX3
/// Sixteen words of sixteen rows, [word, row], become [row, word].
HWY_INLINE void transpose_words(VF (&word)[16]) {
  VF quad[4][4];  // words 4q … 4q + 3 of rows r, 4 + r, 8 + r, 12 + r
  unrolled<4>([&](auto q) HWY_ATTR {
    unrolled<4>([&](auto w) HWY_ATTR { quad[q][w] = word[4 * q + w]; });
    transpose(quad[q]);
  });
  unrolled<4>([&](auto r) HWY_ATTR {
    const __m512 a = quad[0][r].raw, b = quad[1][r].raw, c = quad[2][r].raw, d = quad[3][r].raw;
    const __m512 low_ab = _mm512_shuffle_f32x4(a, b, 0x44), high_ab = _mm512_shuffle_f32x4(a, b, 0xEE);
    const __m512 low_cd = _mm512_shuffle_f32x4(c, d, 0x44), high_cd = _mm512_shuffle_f32x4(c, d, 0xEE);
    word[r] = VF{_mm512_shuffle_f32x4(low_ab, low_cd, 0x88)};
    word[4 + r] = VF{_mm512_shuffle_f32x4(low_ab, low_cd, 0xDD)};
    word[8 + r] = VF{_mm512_shuffle_f32x4(high_ab, high_cd, 0x88)};
    word[12 + r] = VF{_mm512_shuffle_f32x4(high_ab, high_cd, 0xDD)};
  });
}
#endif

#if HWY_TARGET == HWY_AVX3
/// Results go past the caches where they are whole lines of memory: they are read when much else has been
/// written.
template <class E>
HWY_INLINE void store_line(VF line, E* to) {
  auto* at = reinterpret_cast<float*>(to);
  if (reinterpret_cast<std::uintptr_t>(at) % 64 == 0) {
    hn::Stream(line, Floats(), at);
  } else {
    hn::StoreU(line, Floats(), at);
  }
}
#endif

/// rows[row, column] = from[column, row] · factors[row], in elements E; factors null: 1. `from` is a panel
/// with columns up to the next multiple of 8; it and `factors` have rows up to a multiple of `lanes`.
template <class E>
HWY_INLINE void unpack_transposed(const float* from, const float* factors, std::int64_t count,
                                  std::int64_t width, E* rows, std::int64_t stride) {
  const Floats d;
  constexpr std::int64_t group = 4 / sizeof(E), elements = 4 * group;  // in a word, in four
  for (std::int64_t row = 0; row < count; row += lanes) {
    const VF factor = factors != nullptr ? hn::LoadU(d, factors + row) : hn::Set(d, 1.0f);
    const auto column = [&](std::int64_t c)
                            HWY_ATTR { return hn::Mul(hn::LoadU(d, from + c * panel + row), factor); };
    std::int64_t c = 0;
#if HWY_TARGET == HWY_AVX3
    for (; row + lanes <= count && c + 16 * group <= width; c += 16 * group) {  // whole lines of memory
      VF word[16];
      unrolled<16>([&](auto w) HWY_ATTR {
        if constexpr (group == 1) {
          word[w] = column(c + w);
        } else {
          word[w] = rounded_pairs(column(c + 2 * w), column(c + 2 * w + 1));
        }
      });
      transpose_words(word);
      unrolled<16>([&](auto r) HWY_ATTR { store_line(word[r], rows + (row + r) * stride + c); });
    }
#endif
    for (; c < width; c += elements) {
      VF word[4];
      for (std::int64_t w = 0; w < 4; ++w) {
        if constexpr (group == 1) {
          word[w] = column(c + w);
        } else {
          word[w] = rounded_pairs(column(c + 2 * w), column(c + 2 * w + 1));
        }
      }
      transpose(word);
      const std::int64_t many = std::min(elements, width - c);
      const bool whole = many == elements && row + lanes <= count;
      for (std::int64_t r = 0; r < 4; ++r) {
        each_block(word[r], [&](std::int64_t b, V4 four) HWY_ATTR {
          const std::int64_t at = row + 4 * b + r;
          E* out = rows + at * stride + c;
          if (whole) {
            hn::StoreU(four, Four(), reinterpret_cast<float*>(out));
          } else if (at < count) {
            float words[4];
            hn::StoreU(four, Four(), words);
            std::memcpy(out, words, static_cast<std::size_t>(many) * sizeof(E));
          }
        });
      }
    }
  }
}

/// Σ a · b.
template <class E>
HWY_INLINE float row_dot(const E* a, const E* b, std::int64_t width) {
  const Floats d;
  VF sum = hn::Zero(d);
  std::int64_t c = 0;
  for (; c + lanes <= width; c += lanes) sum = hn::MulAdd(floats_of(a + c), floats_of(b + c), sum);
  V4 rest = hn::Zero(Four());
  for (; c < width; c += 4) {
    rest = hn::MulAdd(four_words<FloatWords, false, E>(a, c / 4, width),
                      four_words<FloatWords, false, E>(b, c / 4, width), rest);
  }
  return hn::GetLane(hn::SumOfLanes(d, sum)) + hn::GetLane(hn::SumOfLanes(Four(), rest));
}

#endif

/// Rows as the columns of a right operand: to [words, panel]; at most `panel` rows.
template <class Engine, class E>
HWY_INLINE void pack_right(Rows<E> rows, std::int64_t count, std::int64_t width, float* to,
                           bool negate = false) {
  pack_transposed<Engine, E>(rows, count, width, negate,
                             [&](std::int64_t k, std::int64_t row, VF a, VF b) HWY_ATTR {
                               hn::StoreU(a, Floats(), to + k * panel + row);
                               hn::StoreU(b, Floats(), to + (k + 1) * panel + row);
                             });
}

/// Rows as the rows of a left operand.
template <class Engine, class E>
HWY_INLINE void pack_left(Rows<E> rows, std::int64_t count, std::int64_t width, Left to,
                          bool negate = false) {
  pack_transposed<Engine, E>(rows, count, width, negate,
                             [=](std::int64_t k, std::int64_t row, VF a, VF b)
                                 HWY_ATTR { store_left(a, b, to, k, row); });
}

}  // namespace ecp::kernels::HWY_NAMESPACE
#if ECP_PAIRS
#pragma GCC pop_options
#endif
HWY_AFTER_NAMESPACE();

#endif
