#include "ecp/model/row_kernels.h"

#include <cmath>

#include "ecp/kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ecp/model/row_kernels.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first: it re-includes this file once per instruction set.
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace ecp::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using Floats = hn::ScalableTag<float>;
using VF = hn::Vec<Floats>;

/// Calls step(i, count) for vectors of a row; the last one may be short.
template <class Whole, class Part>
HWY_INLINE void for_vectors(std::int64_t count, const Whole& whole, const Part& part) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(Floats()));
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) whole(i);
  if (i < count) part(i, hn::FirstN(Floats(), static_cast<std::size_t>(count - i)));
}

void row_scale_by(const float* x, float scale, const float* weight, float* out, std::int64_t count) {
  const Floats d;
  const VF s = hn::Set(d, scale);
  for_vectors(
      count,
      [&](std::int64_t i) HWY_ATTR {
        hn::StoreU(hn::Mul(hn::Mul(hn::LoadU(d, x + i), s), hn::LoadU(d, weight + i)), d, out + i);
      },
      [&](std::int64_t i, auto mask) HWY_ATTR {
        const VF v = hn::Mul(hn::Mul(hn::MaskedLoad(mask, d, x + i), s), hn::MaskedLoad(mask, d, weight + i));
        hn::BlendedStore(v, mask, d, out + i);
      });
}

void row_norm_backward(const NormRow& row, const float* g, float* dx, float* dweight, float* dbias,
                       std::int64_t count) {
  // With n = (x − center) · r: dx = r · (g w − mean(g w) − n · mean(g w n)), without mean(g w) where the
  // center is no mean.
  const Floats d;
  const VF center = hn::Set(d, row.center), r = hn::Set(d, row.scale);
  const auto normal = [&](VF x) HWY_ATTR { return hn::Mul(hn::Sub(x, center), r); };
  VF sum = hn::Zero(d), along = hn::Zero(d);
  for_vectors(
      count,
      [&](std::int64_t i) HWY_ATTR {
        const VF gw = hn::Mul(hn::LoadU(d, g + i), hn::LoadU(d, row.weight + i));
        sum = hn::Add(sum, gw);
        along = hn::MulAdd(gw, normal(hn::LoadU(d, row.x + i)), along);
      },
      [&](std::int64_t i, auto mask) HWY_ATTR {
        const VF gw = hn::Mul(hn::MaskedLoad(mask, d, g + i), hn::MaskedLoad(mask, d, row.weight + i));
        sum = hn::Add(sum, gw);
        along = hn::MulAdd(gw, normal(hn::MaskedLoad(mask, d, row.x + i)), along);
      });
  const float share = 1 / static_cast<float>(count);
  const VF mean = hn::Set(d, dbias == nullptr ? 0.0f : hn::GetLane(hn::SumOfLanes(d, sum)) * share);
  const VF slope = hn::Set(d, hn::GetLane(hn::SumOfLanes(d, along)) * share);
  for_vectors(
      count,
      [&](std::int64_t i) HWY_ATTR {
        const VF n = normal(hn::LoadU(d, row.x + i)), vg = hn::LoadU(d, g + i);
        hn::StoreU(hn::MulAdd(vg, n, hn::LoadU(d, dweight + i)), d, dweight + i);
        if (dbias != nullptr) hn::StoreU(hn::Add(vg, hn::LoadU(d, dbias + i)), d, dbias + i);
        const VF inner = hn::Sub(hn::Mul(vg, hn::LoadU(d, row.weight + i)), mean);
        hn::StoreU(hn::Mul(hn::NegMulAdd(n, slope, inner), r), d, dx + i);
      },
      [&](std::int64_t i, auto mask) HWY_ATTR {
        const VF n = normal(hn::MaskedLoad(mask, d, row.x + i)), vg = hn::MaskedLoad(mask, d, g + i);
        const VF inner = hn::Sub(hn::Mul(vg, hn::MaskedLoad(mask, d, row.weight + i)), mean);
        hn::BlendedStore(hn::MulAdd(vg, n, hn::MaskedLoad(mask, d, dweight + i)), mask, d, dweight + i);
        if (dbias != nullptr) {
          hn::BlendedStore(hn::Add(vg, hn::MaskedLoad(mask, d, dbias + i)), mask, d, dbias + i);
        }
        hn::BlendedStore(hn::Mul(hn::NegMulAdd(n, slope, inner), r), mask, d, dx + i);
      });
}

void row_rotate(const float* x, const float* cos, const float* sin, bool inverse, float* out,
                std::int64_t count) {
  const float sign = inverse ? -1.0f : 1.0f;
  std::int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  const Floats d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const VF signs = hn::Set(d, sign);
  for (; i + lanes <= count; i += lanes) {
    const VF v = hn::LoadU(d, x + i);
    const VF turned = hn::Mul(hn::Mul(hn::Shuffle2301(v), signs), hn::LoadU(d, sin + i));
    hn::StoreU(hn::MulAdd(v, hn::LoadU(d, cos + i), turned), d, out + i);
  }
#endif
  for (; i < count; i += 2) {
    const float even = x[i], odd = x[i + 1];
    out[i] = even * cos[i] + odd * (sign * sin[i]);
    out[i + 1] = odd * cos[i + 1] + even * (sign * sin[i + 1]);
  }
}

void row_add(const float* x, const float* y, float* out, std::int64_t count) {
  const Floats d;
  for_vectors(
      count,
      [&](std::int64_t i)
          HWY_ATTR { hn::StoreU(hn::Add(hn::LoadU(d, x + i), hn::LoadU(d, y + i)), d, out + i); },
      [&](std::int64_t i, auto mask) HWY_ATTR {
        hn::BlendedStore(hn::Add(hn::MaskedLoad(mask, d, x + i), hn::MaskedLoad(mask, d, y + i)), mask, d,
                         out + i);
      });
}

}  // namespace ecp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ecp {

HWY_EXPORT(row_scale_by);
HWY_EXPORT(row_norm_backward);
HWY_EXPORT(row_rotate);
HWY_EXPORT(row_add);

void row_scale_by(const float* x, float scale, const float* weight, float* out, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(row_scale_by)(x, scale, weight, out, count);
}
void row_norm_backward(const NormRow& row, const float* g, float* dx, float* dweight, float* dbias,
                       std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(row_norm_backward)(row, g, dx, dweight, dbias, count);
}
void row_rotate(const float* x, const float* cos, const float* sin, bool inverse, float* out,
                std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(row_rotate)(x, cos, sin, inverse, out, count);
}
void row_add(const float* x, const float* y, float* out, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(row_add)(x, y, out, count);
}

}  // namespace ecp
#endif
