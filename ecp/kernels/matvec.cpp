#include "ecp/kernels/matvec.h"

#include "ecp/kernels/isa.h"
#include "ecp/kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ecp/kernels/matvec.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first: it re-includes this file once per instruction set.
#include <hwy/highway.h>

#include "ecp/kernels/weight_matrix-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ecp::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

/// A vector of x from i on; what lies beyond its end is zero.
HWY_INLINE V input(const MatVec& p, std::int64_t i) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  if (i + lanes <= p.weight.in) return hn::LoadU(d, p.x + i);
  return i >= p.weight.in
             ? hn::Zero(d)
             : hn::MaskedLoad(hn::FirstN(d, static_cast<std::size_t>(p.weight.in - i)), d, p.x + i);
}

HWY_INLINE void finish(const MatVec& p, std::int64_t row, V sums) {
  float sum = hn::GetLane(hn::SumOfLanes(D(), sums));
  if (p.bias != nullptr) sum += p.bias[row];
  p.y[row] = p.accumulate ? p.y[row] + sum : sum;
}

/// `Rows` output rows at once, so that each load of x serves all of them. Two chains of sums a row hide the
/// latency of multiply-add; their order doesn't depend on `Rows`.
template <int Rows, class E>
HWY_INLINE void dot_rows(const MatVec& p, std::int64_t row) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t in = p.weight.in, stride = weight_stride(p.weight.type, in);
  const E* HWY_RESTRICT weight = static_cast<const E*>(p.weight.data) + row * stride;
  V even[Rows], odd[Rows];
  for (int r = 0; r < Rows; ++r) even[r] = odd[r] = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + 2 * lanes <= in; i += 2 * lanes) {
    const V x0 = hn::LoadU(d, p.x + i), x1 = hn::LoadU(d, p.x + i + lanes);
    for (int r = 0; r < Rows; ++r) {
      even[r] = hn::MulAdd(weight_floats(d, weight + r * stride + i), x0, even[r]);
      odd[r] = hn::MulAdd(weight_floats(d, weight + r * stride + i + lanes), x1, odd[r]);
    }
  }
  for (; i < in; i += lanes) {
    const V x = input(p, i);
    for (int r = 0; r < Rows; ++r) {
      V w;
      if constexpr (sizeof(E) == 4) {  // rows end where they end
        w = hn::MaskedLoad(hn::FirstN(d, static_cast<std::size_t>(in - i)), d, weight + r * stride + i);
      } else {
        w = weight_floats(d, weight + r * stride + i);
      }
      even[r] = hn::MulAdd(w, x, even[r]);
    }
  }
  for (int r = 0; r < Rows; ++r) finish(p, row + r, hn::Add(even[r], odd[r]));
}

/// The same of int8: a group's sum is multiplied with its scale.
template <int Rows>
HWY_INLINE void dot_scaled_rows(const MatVec& p, std::int64_t row) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t in = p.weight.in, stride = weight_stride(p.weight.type, in), groups = weight_groups(in);
  const std::int8_t* HWY_RESTRICT weight = static_cast<const std::int8_t*>(p.weight.data) + row * stride;
  const float* HWY_RESTRICT scales = p.weight.scales + row * groups;
  V sum[Rows];
  for (int r = 0; r < Rows; ++r) sum[r] = hn::Zero(d);
  for (std::int64_t group = 0; group < groups; ++group) {
    V of_group[Rows];
    for (int r = 0; r < Rows; ++r) of_group[r] = hn::Zero(d);
    for (std::int64_t i = group * weight_group; i < (group + 1) * weight_group; i += lanes) {
      const V x = input(p, i);
      for (int r = 0; r < Rows; ++r) {
        of_group[r] = hn::MulAdd(weight_floats(d, weight + r * stride + i), x, of_group[r]);
      }
    }
    for (int r = 0; r < Rows; ++r) {
      sum[r] = hn::MulAdd(of_group[r], hn::Set(d, scales[r * groups + group]), sum[r]);
    }
  }
  for (int r = 0; r < Rows; ++r) finish(p, row + r, sum[r]);
}

template <int Rows>
HWY_INLINE void dot_any_rows(const MatVec& p, std::int64_t row) {
  switch (p.weight.type) {
    case WeightType::float32:
      return dot_rows<Rows, float>(p, row);
    case WeightType::bfloat16:
      return dot_rows<Rows, std::uint16_t>(p, row);
    case WeightType::int8:
      return dot_scaled_rows<Rows>(p, row);
  }
}

void multiply(const MatVec& p) {
  std::int64_t row = 0;
  for (; row + 4 <= p.out; row += 4) dot_any_rows<4>(p, row);
  for (; row < p.out; ++row) dot_any_rows<1>(p, row);
}

}  // namespace HWY_NAMESPACE
}  // namespace ecp::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ecp::kernels {
namespace {
HWY_EXPORT(multiply);
}

void matvec(const MatVec& problem) {
  isa();
  HWY_DYNAMIC_DISPATCH(multiply)(problem);
}

}  // namespace ecp::kernels
#endif
