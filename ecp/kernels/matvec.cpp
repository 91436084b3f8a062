#include "ecp/kernels/matvec.h"

#include "ecp/kernels/isa.h"
#include "ecp/kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ecp/kernels/matvec.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace ecp::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

/// `Rows` output rows at once, so that each load of x serves all of them. Two chains of sums a row hide the
/// latency of multiply-add; their order doesn't depend on `Rows`.
template <int Rows>
HWY_INLINE void dot_rows(const MatVec& p, std::int64_t row) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const float* HWY_RESTRICT weight = p.weight + row * p.in;
  V even[Rows], odd[Rows];
  for (int r = 0; r < Rows; ++r) even[r] = odd[r] = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + 2 * lanes <= p.in; i += 2 * lanes) {
    const V x0 = hn::LoadU(d, p.x + i), x1 = hn::LoadU(d, p.x + i + lanes);
    for (int r = 0; r < Rows; ++r) {
      even[r] = hn::MulAdd(hn::LoadU(d, weight + r * p.in + i), x0, even[r]);
      odd[r] = hn::MulAdd(hn::LoadU(d, weight + r * p.in + i + lanes), x1, odd[r]);
    }
  }
  for (; i < p.in; i += lanes) {
    const auto mask = hn::FirstN(d, static_cast<std::size_t>(p.in - i));
    const V x = hn::MaskedLoad(mask, d, p.x + i);
    for (int r = 0; r < Rows; ++r) {
      even[r] = hn::MulAdd(hn::MaskedLoad(mask, d, weight + r * p.in + i), x, even[r]);
    }
  }
  for (int r = 0; r < Rows; ++r) {
    float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(even[r], odd[r])));
    if (p.bias != nullptr) sum += p.bias[row + r];
    p.y[row + r] = p.accumulate ? p.y[row + r] + sum : sum;
  }
}

void multiply(const MatVec& p) {
  std::int64_t row = 0;
  for (; row + 4 <= p.out; row += 4) dot_rows<4>(p, row);
  for (; row < p.out; ++row) dot_rows<1>(p, row);
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
