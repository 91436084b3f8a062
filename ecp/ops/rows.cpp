#include "ecp/ops/rows.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "ecp/kernels/targets.h"

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

double row_square_sum(const float* HWY_RESTRICT x, std::int64_t count) {
  constexpr std::int64_t lanes = 32;  // several vectors, whatever their size
  double sums[lanes] = {};
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      const auto value = static_cast<double>(x[i + lane]);
      sums[lane] += value * value;  // exact, so that fusing the two changes nothing
    }
  }
  for (std::int64_t lane = 0; i < count; ++i, ++lane) {
    const auto value = static_cast<double>(x[i]);
    sums[lane] += value * value;
  }
  double sum = 0;
  for (const double part : sums) sum += part;
  return sum;
}

void row_add_bfloat16(float* HWY_RESTRICT sum, const std::uint16_t* HWY_RESTRICT x, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i)
    sum[i] += std::bit_cast<float>(static_cast<std::uint32_t>(x[i]) << 16);
}

void row_scale(float* HWY_RESTRICT x, std::int64_t count, float factor) {
  const Floats d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const VF f = hn::Set(d, factor);
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(hn::Mul(hn::LoadU(d, x + i), f), d, x + i);
  for (; i < count; ++i) x[i] *= factor;
}

HWY_INLINE std::uint16_t to_bfloat16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t rounded = bits + 0x7FFFu + (bits >> 16 & 1u);
  return static_cast<std::uint16_t>((x != x ? bits | 0x400000u : rounded) >> 16);
}

void row_scale_to_bfloat16(const float* HWY_RESTRICT x, std::int64_t count, float factor,
                           std::uint16_t* HWY_RESTRICT out) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = to_bfloat16(x[i] * factor);
}

void row_to_float(const std::uint16_t* HWY_RESTRICT bfloat16, float* HWY_RESTRICT out, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i)
    out[i] = std::bit_cast<float>(static_cast<std::uint32_t>(bfloat16[i]) << 16);
}

void row_to_bfloat16(const float* HWY_RESTRICT x, std::uint16_t* HWY_RESTRICT out, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = to_bfloat16(x[i]);
}

}  // namespace ecp::ops::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ecp::ops {

HWY_EXPORT(row_max);
HWY_EXPORT(row_exp);
HWY_EXPORT(row_square_sum);
HWY_EXPORT(row_add_bfloat16);
HWY_EXPORT(row_scale);
HWY_EXPORT(row_scale_to_bfloat16);
HWY_EXPORT(row_to_float);
HWY_EXPORT(row_to_bfloat16);

float row_max(const float* x, std::int64_t count) { return HWY_DYNAMIC_DISPATCH(row_max)(x, count); }
float row_exp(float* x, std::int64_t count, float shift) {
  return HWY_DYNAMIC_DISPATCH(row_exp)(x, count, shift);
}
double row_square_sum(const float* x, std::int64_t count) {
  return HWY_DYNAMIC_DISPATCH(row_square_sum)(x, count);
}
void row_add_bfloat16(float* sum, const std::uint16_t* x, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(row_add_bfloat16)(sum, x, count);
}
void row_scale(float* x, std::int64_t count, float factor) {
  HWY_DYNAMIC_DISPATCH(row_scale)(x, count, factor);
}
void row_scale_to_bfloat16(const float* x, std::int64_t count, float factor, std::uint16_t* out) {
  HWY_DYNAMIC_DISPATCH(row_scale_to_bfloat16)(x, count, factor, out);
}
void row_to_float(const std::uint16_t* bfloat16, float* out, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(row_to_float)(bfloat16, out, count);
}
void row_to_bfloat16(const float* x, std::uint16_t* out, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(row_to_bfloat16)(x, out, count);
}

}  // namespace ecp::ops
#endif
