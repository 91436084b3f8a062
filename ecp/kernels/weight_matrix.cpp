#include "ecp/kernels/weight_matrix.h"

#include <algorithm>

#include "ecp/kernels/isa.h"
#include "ecp/kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ecp/kernels/weight_matrix.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first: it re-includes this file once per instruction set.
#include <hwy/highway.h>

#include "ecp/kernels/load-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ecp::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class E>
void widen(const WeightMatrix& weight, std::int64_t rows, float* out) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t in = weight.in, stride = weight_stride(weight.type, in);
  for (std::int64_t row = 0; row < rows; ++row) {
    const E* from = static_cast<const E*>(weight.data) + row * stride;
    float* to = out + row * in;
    const float* scales = sizeof(E) == 1 ? weight.scales + row * weight_groups(in) : nullptr;
    for (std::int64_t i = 0; i < in; i += lanes) {
      const auto scale = hn::Set(d, sizeof(E) == 1 ? scales[i / weight_group] : 1.0f);
      const auto value = hn::Mul(load_floats(d, from + i), scale);
      if (i + lanes <= in) {
        hn::StoreU(value, d, to + i);
      } else {
        hn::BlendedStore(value, hn::FirstN(d, static_cast<std::size_t>(in - i)), d, to + i);
      }
    }
  }
}

void widen_any(const WeightMatrix& weight, std::int64_t rows, float* out) {
  if (weight.type == WeightType::bfloat16) return widen<std::uint16_t>(weight, rows, out);
  widen<std::int8_t>(weight, rows, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace ecp::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ecp::kernels {
namespace {
HWY_EXPORT(widen_any);
}

WeightMatrix WeightMatrix::from_row(std::int64_t row) const {
  WeightMatrix rest = *this;
  rest.data = static_cast<const std::uint8_t*>(data) + row * weight_stride(type, in) * size_of(type);
  if (scales != nullptr) rest.scales = scales + row * weight_groups(in);
  return rest;
}

void weight_to_float(const WeightMatrix& weight, std::int64_t rows, float* out) {
  if (weight.type == WeightType::float32) {
    std::copy_n(static_cast<const float*>(weight.data), rows * weight.in, out);
    return;
  }
  isa();
  HWY_DYNAMIC_DISPATCH(widen_any)(weight, rows, out);
}

}  // namespace ecp::kernels
#endif
