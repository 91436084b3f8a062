#include "ecp/ops/rows.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "ecp/kernels/targets.h"
#include "ecp/ops/dropout.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ecp/ops/rows.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first: it re-includes this file once per instruction set.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace ecp::ops::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using Floats = hn::ScalableTag<float>;
using VF = hn::Vec<Floats>;

/// exp(x) for x ≤ ~88 with relative error below 2e-7; 0 below −64, NaN where x is.
HWY_INLINE VF exp_or_zero(VF x) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const VF lowest = hn::Set(d, -64.0f);
  const VF bounded = hn::Max(lowest, x);  // in this order x86 keeps NaN
  const VF n = hn::Round(hn::Mul(bounded, hn::Set(d, 1.44269504088896341f)));
  VF r = hn::NegMulAdd(n, hn::Set(d, 0.693359375f), bounded);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), r);
  VF p = hn::Set(d, 1.9875691500e-4f);
  p = hn::MulAdd(p, r, hn::Set(d, 1.3981999507e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 8.3334519073e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 4.1665795894e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.6666665459e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 5.0000001201e-1f));
  p = hn::MulAdd(p, hn::Mul(r, r), hn::Add(r, hn::Set(d, 1.0f)));
  const auto power = hn::ShiftLeft<23>(hn::ConvertTo(di, n));
  const VF value = hn::BitCast(d, hn::Add(hn::BitCast(di, p), power));
  return hn::IfThenZeroElse(hn::Lt(x, lowest), value);
}

float row_max(const float* HWY_RESTRICT x, std::int64_t count) {
  const Floats d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  float largest = -std::numeric_limits<float>::infinity();
  std::int64_t i = 0;
  if (count >= lanes) {
    VF m = hn::LoadU(d, x);
    for (i = lanes; i + lanes <= count; i += lanes) m = hn::Max(m, hn::LoadU(d, x + i));
    largest = hn::GetLane(hn::MaxOfLanes(d, m));
  }
  for (; i < count; ++i) largest = std::max(largest, x[i]);
  return largest;
}

float row_exp(float* HWY_RESTRICT x, std::int64_t count, float shift) {
  const Floats d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const VF minus = hn::Set(d, shift);
  VF sum = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const VF e = exp_or_zero(hn::Sub(hn::LoadU(d, x + i), minus));
    hn::StoreU(e, d, x + i);
    sum = hn::Add(sum, e);
  }
  if (i < count) {
    const auto mask = hn::FirstN(d, static_cast<std::size_t>(count - i));
    const VF e = hn::IfThenElseZero(mask, exp_or_zero(hn::Sub(hn::MaskedLoad(mask, d, x + i), minus)));
    hn::BlendedStore(e, mask, d, x + i);
    sum = hn::Add(sum, e);
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

void row_scale(float* HWY_RESTRICT x, std::int64_t count, float factor) {
  const Floats d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const VF f = hn::Set(d, factor);
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(hn::Mul(hn::LoadU(d, x + i), f), d, x + i);
  for (; i < count; ++i) x[i] *= factor;
}

void row_multiply(float* HWY_RESTRICT x, std::int64_t count, const float* HWY_RESTRICT factors) {
  const Floats d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(hn::Mul(hn::LoadU(d, x + i), hn::LoadU(d, factors + i)), d, x + i);
  }
  for (; i < count; ++i) x[i] *= factors[i];
}

float row_dot(const float* HWY_RESTRICT x, const float* HWY_RESTRICT y, std::int64_t count) {
  const Floats d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  VF sum = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) sum = hn::MulAdd(hn::LoadU(d, x + i), hn::LoadU(d, y + i), sum);
  if (i < count) {
    const auto mask = hn::FirstN(d, static_cast<std::size_t>(count - i));
    sum = hn::MulAdd(hn::MaskedLoad(mask, d, x + i), hn::MaskedLoad(mask, d, y + i), sum);
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

void row_softmax_backward(float* HWY_RESTRICT s, float* HWY_RESTRICT dp, std::int64_t count,
                          float log_sum_exp, float delta, const float* factors) {
  const Floats d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const VF minus = hn::Set(d, log_sum_exp);
  const VF subtract = hn::Set(d, delta);
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const VF p = exp_or_zero(hn::Sub(hn::LoadU(d, s + i), minus));
    if (factors == nullptr) {
      hn::StoreU(p, d, s + i);
      hn::StoreU(hn::Mul(p, hn::Sub(hn::LoadU(d, dp + i), subtract)), d, dp + i);
    } else {
      const VF f = hn::LoadU(d, factors + i);
      hn::StoreU(hn::Mul(p, f), d, s + i);
      hn::StoreU(hn::Mul(p, hn::MulSub(hn::LoadU(d, dp + i), f, subtract)), d, dp + i);
    }
  }
  if (i < count) {
    const auto mask = hn::FirstN(d, static_cast<std::size_t>(count - i));
    const VF p = exp_or_zero(hn::Sub(hn::MaskedLoad(mask, d, s + i), minus));
    const VF f = factors == nullptr ? hn::Set(d, 1.0f) : hn::MaskedLoad(mask, d, factors + i);
    hn::BlendedStore(hn::Mul(p, f), mask, d, s + i);
    hn::BlendedStore(hn::Mul(p, hn::MulSub(hn::MaskedLoad(mask, d, dp + i), f, subtract)), mask, d, dp + i);
  }
}

void row_to_float(const std::uint16_t* HWY_RESTRICT bfloat16, float* HWY_RESTRICT out, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i)
    out[i] = std::bit_cast<float>(static_cast<std::uint32_t>(bfloat16[i]) << 16);
}

void row_to_bfloat16(const float* HWY_RESTRICT x, std::uint16_t* HWY_RESTRICT out, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(x[i]);
    const std::uint32_t rounded = bits + 0x7FFFu + (bits >> 16 & 1u);
    out[i] = static_cast<std::uint16_t>((x[i] != x[i] ? bits | 0x400000u : rounded) >> 16);
  }
}

#if HWY_TARGET == HWY_SCALAR

float* dropout_row(std::uint64_t stream, std::int64_t row, std::int64_t first, std::int64_t count,
                   std::uint32_t threshold, float kept, float* HWY_RESTRICT factors) {
  for (std::int64_t i = 0; i < count; ++i)
    factors[i] = drops(stream, row, first + i, threshold) ? 0.0f : kept;
  return factors;
}

#else

/// Philox 4x32-10 (base/random.h) on `lanes` counters at a time.
float* dropout_row(std::uint64_t stream, std::int64_t row, std::int64_t first, std::int64_t count,
                   std::uint32_t threshold, float kept, float* HWY_RESTRICT factors) {
  const hn::CappedTag<std::uint32_t, 16> du;
  const hn::RebindToFloat<decltype(du)> df;
  using VU = hn::Vec<decltype(du)>;
  const hn::Repartition<std::uint64_t, decltype(du)> dw;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(du));

  struct Wide {
    VU high, low;
  };
  const auto multiply = [&](VU a, VU by) HWY_ATTR {  // the 64-bit products' halves
    const auto even = hn::MulEven(a, by);
    const auto odd = hn::MulEven(hn::BitCast(du, hn::ShiftRight<32>(hn::BitCast(dw, a))), by);
    return Wide{hn::OddEven(hn::BitCast(du, odd), hn::BitCast(du, hn::ShiftRight<32>(even))),
                hn::OddEven(hn::BitCast(du, hn::ShiftLeft<32>(odd)), hn::BitCast(du, even))};
  };

  const auto row_bits = static_cast<std::uint64_t>(row);
  const VU limit = hn::Set(du, threshold);
  const auto keep = hn::Set(df, kept);
  std::int64_t at = 0;
  for (std::int64_t group = first / 128; group * 128 < first + count; ++group, at += 128) {
    for (std::int64_t part = 0; part < 16; part += lanes) {
      const auto counter = static_cast<std::uint64_t>(group * 16 + part);
      // 16 counters of a group share their upper half: a group starts at a multiple of 16.
      VU c0 = hn::Iota(du, static_cast<std::uint32_t>(counter));
      VU c1 = hn::Set(du, static_cast<std::uint32_t>(counter >> 32));
      VU c2 = hn::Set(du, static_cast<std::uint32_t>(row_bits));
      VU c3 = hn::Set(du, static_cast<std::uint32_t>(row_bits >> 32));
      auto k0 = static_cast<std::uint32_t>(stream);
      auto k1 = static_cast<std::uint32_t>(stream >> 32);
      for (int round = 0; round < 10; ++round) {
        const Wide p0 = multiply(c0, hn::Set(du, 0xD2511F53u));
        const Wide p1 = multiply(c2, hn::Set(du, 0xCD9E8D57u));
        c0 = hn::Xor(hn::Xor(p1.high, c1), hn::Set(du, k0));
        c1 = p1.low;
        c2 = hn::Xor(hn::Xor(p0.high, c3), hn::Set(du, k1));
        c3 = p0.low;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
      }
      const auto put = [&](VU word, std::int64_t half) HWY_ATTR {
        const auto low = hn::And(word, hn::Set(du, 0xFFFFu));
        const auto high = hn::ShiftRight<16>(word);
        const auto factor = [&](VU bits) HWY_ATTR {
          return hn::IfThenElseZero(hn::RebindMask(df, hn::Not(hn::Lt(bits, limit))), keep);
        };
        hn::StoreU(factor(low), df, factors + at + half * 16 + part);
        hn::StoreU(factor(high), df, factors + at + (half + 1) * 16 + part);
      };
      put(c0, 0);
      put(c1, 2);
      put(c2, 4);
      put(c3, 6);
    }
  }
  return factors + first % 128;
}

#endif

}  // namespace ecp::ops::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ecp::ops {

HWY_EXPORT(row_max);
HWY_EXPORT(row_exp);
HWY_EXPORT(row_scale);
HWY_EXPORT(row_multiply);
HWY_EXPORT(row_dot);
HWY_EXPORT(row_softmax_backward);
HWY_EXPORT(row_to_float);
HWY_EXPORT(row_to_bfloat16);
HWY_EXPORT(dropout_row);

float row_max(const float* x, std::int64_t count) { return HWY_DYNAMIC_DISPATCH(row_max)(x, count); }
float row_exp(float* x, std::int64_t count, float shift) {
  return HWY_DYNAMIC_DISPATCH(row_exp)(x, count, shift);
}
void row_scale(float* x, std::int64_t count, float factor) {
  HWY_DYNAMIC_DISPATCH(row_scale)(x, count, factor);
}
void row_multiply(float* x, std::int64_t count, const float* factors) {
  HWY_DYNAMIC_DISPATCH(row_multiply)(x, count, factors);
}
float row_dot(const float* x, const float* y, std::int64_t count) {
  return HWY_DYNAMIC_DISPATCH(row_dot)(x, y, count);
}
void row_softmax_backward(float* s, float* dp, std::int64_t count, float log_sum_exp, float delta,
                          const float* factors) {
  HWY_DYNAMIC_DISPATCH(row_softmax_backward)(s, dp, count, log_sum_exp, delta, factors);
}
void row_to_float(const std::uint16_t* bfloat16, float* out, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(row_to_float)(bfloat16, out, count);
}
void row_to_bfloat16(const float* x, std::uint16_t* out, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(row_to_bfloat16)(x, out, count);
}
float* dropout_row(std::uint64_t stream, std::int64_t row, std::int64_t first, std::int64_t count,
                   std::uint32_t threshold, float kept, float* factors) {
  return HWY_DYNAMIC_DISPATCH(dropout_row)(stream, row, first, count, threshold, kept, factors);
}

double row_max(const double* x, std::int64_t count) {
  double largest = -std::numeric_limits<double>::infinity();
  for (std::int64_t i = 0; i < count; ++i) largest = std::max(largest, x[i]);
  return largest;
}
double row_exp(double* x, std::int64_t count, double shift) {
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += x[i] = std::exp(x[i] - shift);
  return sum;
}
void row_scale(double* x, std::int64_t count, double factor) {
  for (std::int64_t i = 0; i < count; ++i) x[i] *= factor;
}
void row_multiply(double* x, std::int64_t count, const float* factors) {
  for (std::int64_t i = 0; i < count; ++i) x[i] *= static_cast<double>(factors[i]);
}
double row_dot(const double* x, const double* y, std::int64_t count) {
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += x[i] * y[i];
  return sum;
}
void row_softmax_backward(double* s, double* dp, std::int64_t count, double log_sum_exp, double delta,
                          const float* factors) {
  for (std::int64_t i = 0; i < count; ++i) {
    const double p = std::exp(s[i] - log_sum_exp);
    const double f = factors == nullptr ? 1.0 : static_cast<double>(factors[i]);
    s[i] = p * f;
    dp[i] = p * (dp[i] * f - delta);
  }
}

}  // namespace ecp::ops
#endif
