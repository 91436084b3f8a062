#include "ecp/kernels/softmax.h"

#include <algorithm>
#include <limits>

#include "ecp/kernels/isa.h"
#include "ecp/kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ecp/kernels/softmax.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace ecp::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

float largest_of(const float* x, std::int64_t count) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  constexpr float infinity = std::numeric_limits<float>::infinity();
  V most = hn::Set(d, -infinity), nothing = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const V value = hn::LoadU(d, x + i);
    most = hn::Max(most, value);
    nothing = hn::MulAdd(value, hn::Zero(d), nothing);  // NaN of what isn't finite
  }
  float result = hn::GetLane(hn::MaxOfLanes(d, most));
  float rest = hn::GetLane(hn::SumOfLanes(d, nothing));
  for (; i < count; ++i) {
    result = std::max(result, x[i]);
    rest += x[i] * 0.0f;
  }
  return count > 0 && rest == 0 ? result : std::numeric_limits<float>::quiet_NaN();
}

void exponentials_of(const float* x, std::int64_t count, float highest, float temperature, float* out,
                     double* sums) {
  const D d;
  const hn::Repartition<double, D> wide;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const V top = hn::Set(d, highest), divisor = hn::Set(d, temperature), least = hn::Set(d, -87.0f);
  const auto power = [&](V value) HWY_ATTR {
    const V exponent = hn::Div(hn::Sub(value, top), divisor);
    return hn::IfThenZeroElse(hn::Lt(exponent, least), hn::Exp(d, hn::Max(exponent, least)));
  };
  for (std::int64_t begin = 0; begin < count; begin += exponentials_block) {
    const std::int64_t end = std::min(count, begin + exponentials_block);
    auto low = hn::Zero(wide), high = hn::Zero(wide);
    const auto add = [&](V value) HWY_ATTR {
#if HWY_TARGET == HWY_SCALAR  // one lane has no halves
      low = hn::Add(low, hn::PromoteTo(wide, value));
#else
      const hn::Half<D> half;
      low = hn::Add(low, hn::PromoteTo(wide, hn::LowerHalf(half, value)));
      high = hn::Add(high, hn::PromoteTo(wide, hn::UpperHalf(half, value)));
#endif
    };
    std::int64_t i = begin;
    for (; i + lanes <= end; i += lanes) {
      const V value = power(hn::LoadU(d, x + i));
      if (out != nullptr) hn::StoreU(value, d, out + i);
      add(value);
    }
    if (i < end) {
      const auto mask = hn::FirstN(d, static_cast<std::size_t>(end - i));
      const V value = hn::IfThenElseZero(mask, power(hn::MaskedLoad(mask, d, x + i)));
      if (out != nullptr) hn::BlendedStore(value, mask, d, out + i);
      add(value);
    }
    *sums++ = hn::GetLane(hn::SumOfLanes(wide, hn::Add(low, high)));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ecp::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ecp::kernels {
namespace {
HWY_EXPORT(largest_of);
HWY_EXPORT(exponentials_of);
}  // namespace

float largest(const float* x, std::int64_t count) {
  isa();
  return HWY_DYNAMIC_DISPATCH(largest_of)(x, count);
}

void exponentials(const float* x, std::int64_t count, float highest, float temperature, float* out,
                  double* sums) {
  isa();
  HWY_DYNAMIC_DISPATCH(exponentials_of)(x, count, highest, temperature, out, sums);
}

}  // namespace ecp::kernels
#endif
