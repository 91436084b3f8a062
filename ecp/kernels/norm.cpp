#include "ecp/kernels/norm.h"

#include <cmath>

#include "ecp/kernels/isa.h"
#include "ecp/kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ecp/kernels/norm.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace ecp::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
using M = hn::Mask<D>;

/// Calls step(mask, i) for each vector of [0, width).
template <class Step>
HWY_INLINE void each_vector(std::int64_t width, const Step& step) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t i = 0; i < width; i += lanes) {
    step(hn::FirstN(d, static_cast<std::size_t>(width - i < lanes ? width - i : lanes)), i);
  }
}

HWY_INLINE V load(M mask, const float* from) { return hn::MaskedLoad(mask, D(), from); }

/// 1 / √(mean((x − center)²) + eps), of which everything else of the row is a multiple: rounded once.
HWY_INLINE float scale_of(const float* x, float center, std::int64_t width, float eps) {
  const D d;
  V sum = hn::Zero(d);
  const V middle = hn::Set(d, center);
  each_vector(width, [&](M mask, std::int64_t i) {
    const V delta = hn::IfThenElseZero(mask, hn::Sub(load(mask, x + i), middle));
    sum = hn::MulAdd(delta, delta, sum);
  });
  const double mean = static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sum))) / static_cast<double>(width);
  return static_cast<float>(1 / std::sqrt(mean + static_cast<double>(eps)));
}

HWY_INLINE float mean(const float* x, std::int64_t width) {
  const D d;
  V sum = hn::Zero(d);
  each_vector(width, [&](M mask, std::int64_t i) { sum = hn::Add(sum, load(mask, x + i)); });
  return hn::GetLane(hn::SumOfLanes(d, sum)) / static_cast<float>(width);
}

/// y = (x − center) · scale · weight + bias
HWY_INLINE void normalize(const Norm& p, std::int64_t row, float center, float scale) {
  const D d;
  const float* x = p.x + row * p.x_stride;
  float* y = p.y + row * p.y_stride;
  if (p.scales != nullptr) p.scales[row] = scale;
  const V middle = hn::Set(d, center), factor = hn::Set(d, scale);
  each_vector(p.width, [&](M mask, std::int64_t i) {
    V value = hn::Mul(hn::Mul(hn::Sub(load(mask, x + i), middle), factor), load(mask, p.weight + i));
    if (p.bias != nullptr) value = hn::Add(value, load(mask, p.bias + i));
    hn::BlendedStore(value, mask, d, y + i);
  });
}

void rms(const Norm& p) {
  for (std::int64_t row = 0; row < p.rows; ++row) {
    const float* x = p.x + row * p.x_stride;
    normalize(p, row, 0, scale_of(x, 0, p.width, p.eps));
  }
}

void layer(const Norm& p) {
  for (std::int64_t row = 0; row < p.rows; ++row) {
    const float* x = p.x + row * p.x_stride;
    const float center = mean(x, p.width);
    if (p.centers != nullptr) p.centers[row] = center;
    normalize(p, row, center, scale_of(x, center, p.width, p.eps));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ecp::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ecp::kernels {
namespace {
HWY_EXPORT(rms);
HWY_EXPORT(layer);
}  // namespace

void rms_norm(const Norm& problem) {
  isa();
  Norm unbiased = problem;
  unbiased.bias = nullptr;
  HWY_DYNAMIC_DISPATCH(rms)(unbiased);
}

void layer_norm(const Norm& problem) {
  isa();
  HWY_DYNAMIC_DISPATCH(layer)(problem);
}

}  // namespace ecp::kernels
#endif
