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

HWY_INLINE void finish(const MatVec& p, std::int64_t row, std::int64_t input, float sum) {
  float& y = p.y[input * p.y_stride + row];
  if (p.bias != nullptr) sum += p.bias[row];
  y = p.accumulate ? y + sum : sum;
}

HWY_INLINE void finish(const MatVec& p, std::int64_t row, std::int64_t input, V sums) {
  finish(p, row, input, hn::GetLane(hn::SumOfLanes(D(), sums)));
}

/// `x` from i on, as far as there is some; zeros after it.
HWY_INLINE V end_of_input(const MatVec& p, const float* x, std::int64_t i) {
  const std::int64_t left = p.weight.in - i;
  return left <= 0 ? hn::Zero(D())
                   : hn::MaskedLoad(hn::FirstN(D(), static_cast<std::size_t>(left)), D(), x + i);
}

/// `rows` rows times `inputs` inputs, each by two chains of sums, which hide the latency of multiply-add.
/// Meanwhile a row is fetched from `ahead`.
template <class E, int rows, int inputs>
HWY_INLINE void dot_tile(const MatVec& p, std::int64_t row, std::int64_t input,
                         [[maybe_unused]] const E* ahead) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t in = p.weight.in, stride = weight_stride(p.weight.type, in);
  const E* HWY_RESTRICT weight = static_cast<const E*>(p.weight.data) + row * stride;
  const float* HWY_RESTRICT x = p.x + input * p.x_stride;
  V even[rows][inputs], odd[rows][inputs];
  for (int r = 0; r < rows; ++r) {
    for (int n = 0; n < inputs; ++n) even[r][n] = odd[r][n] = hn::Zero(d);
  }
  const auto add = [&](V(&sums)[rows][inputs], std::int64_t i) HWY_ATTR {
    V w[rows];
    for (int r = 0; r < rows; ++r) w[r] = load_floats(d, weight + r * stride + i);
    for (int n = 0; n < inputs; ++n) {
      const V x_n = hn::LoadU(d, x + n * p.x_stride + i);
      for (int r = 0; r < rows; ++r) sums[r][n] = hn::MulAdd(w[r], x_n, sums[r][n]);
    }
  };
  std::int64_t i = 0;
  for (; i + 2 * lanes <= in; i += 2 * lanes) {
    if constexpr (rows > 1) __builtin_prefetch(ahead + i, 0, 3);
    add(even, i);
    add(odd, i + lanes);
  }
  for (; i < in; i += lanes) {
    for (int r = 0; r < rows; ++r) {
      const E* from = weight + r * stride + i;
      V w;
      if constexpr (sizeof(E) == 4) {  // rows end where they end
        w = hn::MaskedLoad(hn::FirstN(d, static_cast<std::size_t>(in - i)), d, from);
      } else {
        w = load_floats(d, from);
      }
      for (int n = 0; n < inputs; ++n) {
        even[r][n] = hn::MulAdd(w, end_of_input(p, x + n * p.x_stride, i), even[r][n]);
      }
    }
  }
  for (int r = 0; r < rows; ++r) {
    for (int n = 0; n < inputs; ++n) finish(p, row + r, input + n, hn::Add(even[r][n], odd[r][n]));
  }
}

/// `rows` rows times all inputs. The next rows come from memory meanwhile.
template <class E, int rows>
HWY_INLINE void dot_rows(const MatVec& p, std::int64_t row) {
  const std::int64_t stride = weight_stride(p.weight.type, p.weight.in);
  const E* ahead = static_cast<const E*>(p.weight.data) + (row + rows) * stride;
  std::int64_t input = 0;
  for (; input + 4 <= p.inputs; input += 4, ahead += stride) dot_tile<E, rows, 4>(p, row, input, ahead);
  for (; input < p.inputs; ++input) dot_tile<E, rows, 1>(p, row, input, ahead);
}

template <class E>
void dot_all(const MatVec& p) {
  constexpr int together = HWY_MAX_BYTES >= 64 ? 3 : 1;  // as many sums as there are registers for
  std::int64_t row = 0;
  // A single input takes one row after the other, for then memory is read in one stream, of which the
  // processor fetches what comes ahead of time: several rows at once took twice the time.
  if (p.inputs > 1) {
    for (; row + together <= p.out; row += together) dot_rows<E, together>(p, row);
  }
  for (; row < p.out; ++row) dot_rows<E, 1>(p, row);
}

/// The same of int8: a group's sum is multiplied with its scale.
HWY_INLINE void dot_scaled_row(const MatVec& p, std::int64_t row, std::int64_t input) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t in = p.weight.in, groups = weight_groups(in), whole = in / weight_group;
  const std::int8_t* HWY_RESTRICT weight =
      static_cast<const std::int8_t*>(p.weight.data) + row * weight_stride(p.weight.type, in);
  const float* HWY_RESTRICT x = p.x + input * p.x_stride;
  const float* HWY_RESTRICT scales = p.weight.scales + row * groups;
  V sum = hn::Zero(d);
  for (std::int64_t group = 0; group < groups; ++group) {
    V of_group = hn::Zero(d);
    const std::int64_t begin = group * weight_group, end = begin + weight_group;
    if (group < whole) {
      for (std::int64_t i = begin; i < end; i += lanes) {
        of_group = hn::MulAdd(load_floats(d, weight + i), hn::LoadU(d, x + i), of_group);
      }
    } else {
      for (std::int64_t i = begin; i < end; i += lanes) {
        of_group = hn::MulAdd(load_floats(d, weight + i), end_of_input(p, x, i), of_group);
      }
    }
    sum = hn::MulAdd(of_group, hn::Set(d, scales[group]), sum);
  }
  finish(p, row, input, sum);
}

void dot_scaled_all(const MatVec& p) {
  for (std::int64_t row = 0; row < p.out; ++row) {
    for (std::int64_t input = 0; input < p.inputs; ++input) dot_scaled_row(p, row, input);
  }
}

#if ECP_INT8_DOT
template <int rows, int inputs>
HWY_INLINE void integer_tile(const MatVec& p, const IntegerInputs& x, std::int64_t row, std::int64_t input) {
  const std::int64_t groups = weight_groups(p.weight.in);
  float sums[rows][inputs];
  int8_dots<rows, inputs>(static_cast<const std::int8_t*>(p.weight.data) + row * groups * weight_group,
                          p.weight.scales + row * groups, x.from(input), groups, sums);
  for (int r = 0; r < rows; ++r) {
    for (int n = 0; n < inputs; ++n) finish(p, row + r, input + n, sums[r][n]);
  }
}

template <int rows>
HWY_INLINE void integer_rows(const MatVec& p, const IntegerInputs& x, std::int64_t row) {
  std::int64_t input = 0;
  for (; input + 4 <= p.inputs; input += 4) integer_tile<rows, 4>(p, x, row, input);
  for (; input < p.inputs; ++input) integer_tile<rows, 1>(p, x, row, input);
}

void multiply_integers(const MatVec& p) {
  const IntegerInputs x(p.x, p.weight.in, p.inputs, p.x_stride);
  std::int64_t row = 0;
  if (p.inputs > 1) {  // as in dot_all
    for (; row + 2 <= p.out; row += 2) integer_rows<2>(p, x, row);
  }
  for (; row < p.out; ++row) integer_rows<1>(p, x, row);
}
#endif

/// `integers`: there are integer dot products.
void multiply(const MatVec& p, [[maybe_unused]] bool integers) {
#if ECP_INT8_DOT
  if (integers && p.weight.type == WeightType::int8) return multiply_integers(p);
#endif
  switch (p.weight.type) {
    case WeightType::float32:
      return dot_all<float>(p);
    case WeightType::bfloat16:
      return dot_all<std::uint16_t>(p);
    case WeightType::int8:
      return dot_scaled_all(p);
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
