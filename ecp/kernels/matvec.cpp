#include "ecp/kernels/matvec.h"

#include "ecp/kernels/isa.h"
#include "ecp/kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ecp/kernels/matvec.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first: it re-includes this file once per instruction set.
#include <hwy/highway.h>

#include "ecp/kernels/int8_dot-inl.h"
#include "ecp/kernels/load-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ecp::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

HWY_INLINE void finish(const MatVec& p, std::int64_t row, float sum) {
  if (p.bias != nullptr) sum += p.bias[row];
  p.y[row] = p.accumulate ? p.y[row] + sum : sum;
}

HWY_INLINE void finish(const MatVec& p, std::int64_t row, V sums) {
  finish(p, row, hn::GetLane(hn::SumOfLanes(D(), sums)));
}

/// x from i on, as far as there is some; zeros after it.
HWY_INLINE V end_of_input(const MatVec& p, std::int64_t i) {
  const std::int64_t left = p.weight.in - i;
  return left <= 0 ? hn::Zero(D())
                   : hn::MaskedLoad(hn::FirstN(D(), static_cast<std::size_t>(left)), D(), p.x + i);
}

// One row after the other, for then memory is read in one stream, of which the processor fetches what comes
// ahead of time: several rows at once, each load of x for all of them, took twice the time.

template <class E>
HWY_INLINE void dot_row(const MatVec& p, std::int64_t row) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t in = p.weight.in;
  const E* HWY_RESTRICT weight =
      static_cast<const E*>(p.weight.data) + row * weight_stride(p.weight.type, in);
  V even = hn::Zero(d), odd = hn::Zero(d);  // two chains of sums hide the latency of multiply-add
  std::int64_t i = 0;
  for (; i + 2 * lanes <= in; i += 2 * lanes) {
    even = hn::MulAdd(load_floats(d, weight + i), hn::LoadU(d, p.x + i), even);
    odd = hn::MulAdd(load_floats(d, weight + i + lanes), hn::LoadU(d, p.x + i + lanes), odd);
  }
  for (; i < in; i += lanes) {
    V w;
    if constexpr (sizeof(E) == 4) {  // rows end where they end
      w = hn::MaskedLoad(hn::FirstN(d, static_cast<std::size_t>(in - i)), d, weight + i);
    } else {
      w = load_floats(d, weight + i);
    }
    even = hn::MulAdd(w, end_of_input(p, i), even);
  }
  finish(p, row, hn::Add(even, odd));
}

/// The same of int8: a group's sum is multiplied with its scale.
HWY_INLINE void dot_scaled_row(const MatVec& p, std::int64_t row) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t in = p.weight.in, groups = weight_groups(in), whole = in / weight_group;
  const std::int8_t* HWY_RESTRICT weight =
      static_cast<const std::int8_t*>(p.weight.data) + row * weight_stride(p.weight.type, in);
  const float* HWY_RESTRICT scales = p.weight.scales + row * groups;
  V sum = hn::Zero(d);
  for (std::int64_t group = 0; group < groups; ++group) {
    V of_group = hn::Zero(d);
    const std::int64_t begin = group * weight_group, end = begin + weight_group;
    if (group < whole) {
      for (std::int64_t i = begin; i < end; i += lanes) {
        of_group = hn::MulAdd(load_floats(d, weight + i), hn::LoadU(d, p.x + i), of_group);
      }
    } else {
      for (std::int64_t i = begin; i < end; i += lanes) {
        of_group = hn::MulAdd(load_floats(d, weight + i), end_of_input(p, i), of_group);
      }
    }
    sum = hn::MulAdd(of_group, hn::Set(d, scales[group]), sum);
  }
  finish(p, row, sum);
}

#if ECP_INT8_DOT
void multiply_integers(const MatVec& p) {
  const std::int64_t in = p.weight.in, groups = weight_groups(in);
  const IntegerInput input = integer_input(p.x, in);
  const auto* weight = static_cast<const std::int8_t*>(p.weight.data);
  for (std::int64_t row = 0; row < p.out; ++row) {
    finish(p, row,
           int8_dot(weight + row * groups * weight_group, p.weight.scales + row * groups, input, groups));
  }
}
#endif

/// `integers`: there are integer dot products.
void multiply(const MatVec& p, [[maybe_unused]] bool integers) {
#if ECP_INT8_DOT
  if (integers && p.weight.type == WeightType::int8) return multiply_integers(p);
#endif
  switch (p.weight.type) {
    case WeightType::float32:
      for (std::int64_t row = 0; row < p.out; ++row) dot_row<float>(p, row);
      break;
    case WeightType::bfloat16:
      for (std::int64_t row = 0; row < p.out; ++row) dot_row<std::uint16_t>(p, row);
      break;
    case WeightType::int8:
      for (std::int64_t row = 0; row < p.out; ++row) dot_scaled_row(p, row);
      break;
  }
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
  HWY_DYNAMIC_DISPATCH(multiply)(problem, isa_in_use() >= Isa::avx512_bf16);
}

}  // namespace ecp::kernels
#endif
