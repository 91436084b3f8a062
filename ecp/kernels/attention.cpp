#include "ecp/kernels/attention.h"

#include "ecp/kernels/isa.h"
#include "ecp/kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ecp/kernels/attention.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace ecp::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr bool many_registers = hn::MaxLanes(D()) >= 16;  // AVX-512 has 32, the others 16

#if HWY_TARGET == HWY_SCALAR
HWY_INLINE void store_sums(const V (&sums)[4], float scale, float* to) {
  for (int i = 0; i < 4; ++i) to[i] = scale * hn::GetLane(sums[i]);
}
#else
using D4 = hn::FixedTag<float, 4>;

/// Adds the upper half to the lower until four lanes are left.
template <class Tag>
HWY_INLINE hn::Vec<D4> fold(Tag d, hn::Vec<Tag> v) {
  if constexpr (hn::MaxLanes(Tag()) > 4) {
    const hn::Half<Tag> half;
    return fold(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  } else {
    (void)d;
    return v;
  }
}

/// to[i] = scale · Σ sums[i], with a third of the work of four single sums.
HWY_INLINE void store_sums(const V (&sums)[4], float scale, float* to) {
  const D d;
  const D4 four;
  const hn::Repartition<double, D> wide;
  const V ab = hn::Add(hn::InterleaveLower(d, sums[0], sums[1]), hn::InterleaveUpper(d, sums[0], sums[1]));
  const V ce = hn::Add(hn::InterleaveLower(d, sums[2], sums[3]), hn::InterleaveUpper(d, sums[2], sums[3]));
  const auto x = hn::BitCast(wide, ab), y = hn::BitCast(wide, ce);
  const V lower = hn::BitCast(d, hn::InterleaveLower(wide, x, y));
  const V upper = hn::BitCast(d, hn::InterleaveUpper(wide, x, y));
  hn::StoreU(hn::Mul(fold(d, hn::Add(lower, upper)), hn::Set(four, scale)), four, to);
}
#endif

/// scores[r, j] = scale · q_r · k_j for `Rows` queries and all keys of a span, four keys at a time.
template <int Rows>
HWY_INLINE void score(const Attention& p, const AttentionSpan& span, std::int64_t row, std::int64_t keys,
                      float* scores, std::int64_t score_stride) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const float* q = span.q + row * p.q_stride;
  for (std::int64_t j = 0; j < keys; j += 4) {
    const float* k[4];  // past the end the last key stands in; its scores are overwritten or ignored
    for (std::int64_t i = 0; i < 4; ++i) k[i] = span.k + (j + i < keys ? j + i : keys - 1) * p.kv_stride;
    V sum[Rows][4];
    for (int r = 0; r < Rows; ++r) sum[r][0] = sum[r][1] = sum[r][2] = sum[r][3] = hn::Zero(d);
    std::int64_t c = 0;
    for (; c + lanes <= p.head_dim; c += lanes) {
      V key[4];
      for (int i = 0; i < 4; ++i) key[i] = hn::LoadU(d, k[i] + c);
      for (int r = 0; r < Rows; ++r) {
        const V query = hn::LoadU(d, q + r * p.q_stride + c);
        for (int i = 0; i < 4; ++i) sum[r][i] = hn::MulAdd(query, key[i], sum[r][i]);
      }
    }
    if (c < p.head_dim) {
      const auto mask = hn::FirstN(d, static_cast<std::size_t>(p.head_dim - c));
      for (int r = 0; r < Rows; ++r) {
        const V query = hn::MaskedLoad(mask, d, q + r * p.q_stride + c);
        for (int i = 0; i < 4; ++i)
          sum[r][i] = hn::MulAdd(query, hn::MaskedLoad(mask, d, k[i] + c), sum[r][i]);
      }
    }
    for (int r = 0; r < Rows; ++r) {
      store_sums(sum[r], p.scale, scores + r * score_stride + j);
    }
  }
}

/// Turns `visible` scores into probabilities, the others up to `all` into zero.
HWY_INLINE void softmax(float* scores, std::int64_t visible, std::int64_t all) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto mask_at = [&](std::int64_t j) {
    return hn::FirstN(d, static_cast<std::size_t>(visible - j < lanes ? visible - j : lanes));
  };
  V highest = hn::Set(d, scores[0]);
  for (std::int64_t j = 0; j < visible; j += lanes) {
    const auto mask = mask_at(j);
    highest = hn::Max(highest, hn::IfThenElse(mask, hn::MaskedLoad(mask, d, scores + j), highest));
  }
  const V top = hn::MaxOfLanes(d, highest);
  V sum = hn::Zero(d);
  for (std::int64_t j = 0; j < visible; j += lanes) {
    const auto mask = mask_at(j);
    const V x = hn::Sub(hn::MaskedLoad(mask, d, scores + j), top);
    // Below e^-87 numbers are denormal: zero serves as well and is not a hundred times slower.
    const V power = hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -87.0f)), hn::Exp(d, x));
    const V probability = hn::IfThenElseZero(mask, power);
    sum = hn::Add(sum, probability);
    hn::BlendedStore(probability, mask, d, scores + j);
  }
  const V factor = hn::Div(hn::Set(d, 1.0f), hn::SumOfLanes(d, sum));
  for (std::int64_t j = 0; j < visible; j += lanes) {
    const auto mask = mask_at(j);
    hn::BlendedStore(hn::Mul(hn::MaskedLoad(mask, d, scores + j), factor), mask, d, scores + j);
  }
  for (std::int64_t j = visible; j < all; ++j) scores[j] = 0;
}

/// Columns [c, c + Vectors · lanes) of out_r = Σ_j p_rj v_j, kept in registers over all keys of a span.
template <int Rows, int Vectors>
HWY_INLINE void mix_columns(const Attention& p, const AttentionSpan& span, std::int64_t row,
                            std::int64_t keys, const float* scores, std::int64_t score_stride, std::int64_t c,
                            hn::Mask<D> mask) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto load = [&](const float* from) {
    if constexpr (Vectors > 1) return hn::LoadU(d, from);
    return hn::MaskedLoad(mask, d, from);
  };
  V sum[Rows][Vectors];
  for (int r = 0; r < Rows; ++r) {
    for (int i = 0; i < Vectors; ++i) sum[r][i] = hn::Zero(d);
  }
  for (std::int64_t j = 0; j < keys; ++j) {
    const float* value = span.v + j * p.kv_stride + c;
    V column[Vectors];
    for (int i = 0; i < Vectors; ++i) column[i] = load(value + i * lanes);
    for (int r = 0; r < Rows; ++r) {
      const V probability = hn::Set(d, scores[r * score_stride + j]);
      for (int i = 0; i < Vectors; ++i) sum[r][i] = hn::MulAdd(probability, column[i], sum[r][i]);
    }
  }
  for (int r = 0; r < Rows; ++r) {
    float* out = span.out + (row + r) * p.out_stride + c;
    for (int i = 0; i < Vectors; ++i) {
      V value = sum[r][i];
      if (span.accumulate) value = hn::Add(value, load(out + i * lanes));
      if constexpr (Vectors > 1) {
        hn::StoreU(value, d, out + i * lanes);
      } else {
        hn::BlendedStore(value, mask, d, out);
      }
    }
  }
}

template <int Rows>
HWY_INLINE void mix(const Attention& p, const AttentionSpan& span, std::int64_t row, std::int64_t keys,
                    const float* scores, std::int64_t score_stride) {
  constexpr int vectors = Rows == 1 || many_registers ? 4 : 2;
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto all = hn::FirstN(d, static_cast<std::size_t>(lanes));
  std::int64_t c = 0;
  for (; c + vectors * lanes <= p.head_dim; c += vectors * lanes) {
    mix_columns<Rows, vectors>(p, span, row, keys, scores, score_stride, c, all);
  }
  for (; c < p.head_dim; c += lanes) {
    const std::int64_t left = p.head_dim - c < lanes ? p.head_dim - c : lanes;
    mix_columns<Rows, 1>(p, span, row, keys, scores, score_stride, c,
                         hn::FirstN(d, static_cast<std::size_t>(left)));
  }
}

template <int Rows>
HWY_INLINE void attend_rows(const Attention& p, std::int64_t row) {
  constexpr int together =
      Rows > 2 && !many_registers ? 2 : Rows;  // what the registers hold of four keys' sums
  std::int64_t all = 0;
  for (std::int64_t s = 0; s < p.span_count; ++s) all += p.spans[s].keys;
  const std::int64_t stride = all + 16;
  all -= p.rows - row - Rows;  // the keys of the last of these rows
  std::int64_t first = 0;
  for (std::int64_t s = 0; s < p.span_count; ++s) {
    const std::int64_t keys = p.spans[s].keys < all - first ? p.spans[s].keys : all - first;
    for (int r = 0; r < Rows; r += together) {
      score<together>(p, p.spans[s], row + r, keys, p.scratch + r * stride + first, stride);
    }
    first += keys;
  }
  for (int r = 0; r < Rows; ++r) softmax(p.scratch + r * stride, all - (Rows - 1 - r), all);
  first = 0;
  for (std::int64_t s = 0; s < p.span_count; ++s) {
    const std::int64_t keys = p.spans[s].keys < all - first ? p.spans[s].keys : all - first;
    mix<Rows>(p, p.spans[s], row, keys, p.scratch + first, stride);
    first += keys;
  }
}

void attend(const Attention& p) {
  std::int64_t row = 0;
  for (; row + 4 <= p.rows; row += 4) attend_rows<4>(p, row);
  for (; row < p.rows; ++row) attend_rows<1>(p, row);
}

}  // namespace HWY_NAMESPACE
}  // namespace ecp::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ecp::kernels {
namespace {
HWY_EXPORT(attend);
}

void attention(const Attention& problem) {
  isa();
  HWY_DYNAMIC_DISPATCH(attend)(problem);
}

}  // namespace ecp::kernels
#endif
