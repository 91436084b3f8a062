#include "ecp/kernels/rope.h"

#include <cmath>

#include "ecp/kernels/isa.h"
#include "ecp/kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ecp/kernels/rope.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace ecp::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR
void rotate(const Rope& p) {
  for (std::int64_t row = 0; row < p.rows; ++row) {
    const float* x = p.x + row * p.x_stride;
    float* out = p.out + row * p.out_stride;
    for (std::int64_t i = 0; i < p.width; i += 2) {
      const float a = x[i], b = x[i + 1];
      const float *cosines = p.table + i, *sines = p.table + p.width + i;
      const float turned[2] = {a * cosines[0] + b * sines[0], b * cosines[1] + a * sines[1]};
      for (int k = 0; k < 2; ++k) out[i + k] = p.accumulate ? out[i + k] + turned[k] : turned[k];
    }
  }
}
#else
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

void rotate(const Rope& p) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t row = 0; row < p.rows; ++row) {
    const float* x = p.x + row * p.x_stride;
    float* out = p.out + row * p.out_stride;
    for (std::int64_t i = 0; i < p.width; i += lanes) {
      // Pairs never straddle a vector, for both widths are even.
      const auto mask = hn::FirstN(d, static_cast<std::size_t>(p.width - i < lanes ? p.width - i : lanes));
      const V value = hn::MaskedLoad(mask, d, x + i);
      const V cosine = hn::MaskedLoad(mask, d, p.table + i);
      const V sine = hn::MaskedLoad(mask, d, p.table + p.width + i);
      V turned = hn::MulAdd(hn::Shuffle2301(value), sine, hn::Mul(value, cosine));
      if (p.accumulate) turned = hn::Add(turned, hn::MaskedLoad(mask, d, out + i));
      hn::BlendedStore(turned, mask, d, out + i);
    }
  }
}
#endif

}  // namespace HWY_NAMESPACE
}  // namespace ecp::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ecp::kernels {
namespace {
HWY_EXPORT(rotate);
}

std::vector<double> rope_frequencies(std::int64_t width, double theta) {
  std::vector<double> frequencies(static_cast<std::size_t>(width / 2));
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    frequencies[i] = std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(width));
  }
  return frequencies;
}

void rope_table(const std::vector<double>& frequencies, std::int64_t position, float* table) {
  float* sines = table + 2 * frequencies.size();
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const double angle = static_cast<double>(position) * frequencies[i];
    const auto cosine = static_cast<float>(std::cos(angle)), sine = static_cast<float>(std::sin(angle));
    table[2 * i] = table[2 * i + 1] = cosine;
    sines[2 * i] = -sine;
    sines[2 * i + 1] = sine;
  }
}

void rope(const Rope& problem) {
  isa();
  HWY_DYNAMIC_DISPATCH(rotate)(problem);
}

}  // namespace ecp::kernels
#endif
