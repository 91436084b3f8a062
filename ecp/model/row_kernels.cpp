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

float row_square_sum(const float* x, std::int64_t count) {
  const Floats d;
  VF sum = hn::Zero(d);
  for_vectors(
      count,
      [&](std::int64_t i) HWY_ATTR {
        const VF v = hn::LoadU(d, x + i);
        sum = hn::MulAdd(v, v, sum);
      },
      [&](std::int64_t i, auto mask) HWY_ATTR {
        const VF v = hn::MaskedLoad(mask, d, x + i);
        sum = hn::MulAdd(v, v, sum);
      });
  return hn::GetLane(hn::SumOfLanes(d, sum));
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

void row_rms_backward(const float* x, const float* g, const float* weight, float r, float* dx, float* dweight,
                      std::int64_t count) {
  const Floats d;
  // dx = r · (g w − x r² · mean(g w x))
  VF sum = hn::Zero(d);
  for_vectors(
      count,
      [&](std::int64_t i) HWY_ATTR {
        sum = hn::MulAdd(hn::Mul(hn::LoadU(d, g + i), hn::LoadU(d, weight + i)), hn::LoadU(d, x + i), sum);
      },
      [&](std::int64_t i, auto mask) HWY_ATTR {
        const VF gw = hn::Mul(hn::MaskedLoad(mask, d, g + i), hn::MaskedLoad(mask, d, weight + i));
        sum = hn::MulAdd(gw, hn::MaskedLoad(mask, d, x + i), sum);
      });
  const float mean = hn::GetLane(hn::SumOfLanes(d, sum)) / static_cast<float>(count);
  const VF scale = hn::Set(d, r), along = hn::Set(d, mean * r * r);
  for_vectors(
      count,
      [&](std::int64_t i) HWY_ATTR {
        const VF vx = hn::LoadU(d, x + i), vg = hn::LoadU(d, g + i);
        hn::StoreU(hn::MulAdd(hn::Mul(vg, vx), scale, hn::LoadU(d, dweight + i)), d, dweight + i);
        const VF v = hn::NegMulAdd(vx, along, hn::Mul(vg, hn::LoadU(d, weight + i)));
        hn::StoreU(hn::Mul(v, scale), d, dx + i);
      },
      [&](std::int64_t i, auto mask) HWY_ATTR {
        const VF vx = hn::MaskedLoad(mask, d, x + i), vg = hn::MaskedLoad(mask, d, g + i);
        const VF w = hn::MaskedLoad(mask, d, dweight + i);
        hn::BlendedStore(hn::MulAdd(hn::Mul(vg, vx), scale, w), mask, d, dweight + i);
        const VF v = hn::NegMulAdd(vx, along, hn::Mul(vg, hn::MaskedLoad(mask, d, weight + i)));
        hn::BlendedStore(hn::Mul(v, scale), mask, d, dx + i);
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

HWY_EXPORT(row_square_sum);
HWY_EXPORT(row_scale_by);
HWY_EXPORT(row_rms_backward);
HWY_EXPORT(row_rotate);
HWY_EXPORT(row_add);

float row_square_sum(const float* x, std::int64_t count) {
  return HWY_DYNAMIC_DISPATCH(row_square_sum)(x, count);
}
void row_scale_by(const float* x, float scale, const float* weight, float* out, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(row_scale_by)(x, scale, weight, out, count);
}
void row_rms_backward(const float* x, const float* g, const float* weight, float r, float* dx, float* dweight,
                      std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(row_rms_backward)(x, g, weight, r, dx, dweight, count);
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
