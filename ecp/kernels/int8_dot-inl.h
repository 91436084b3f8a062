// Rows of int8 times an input, with integer dot products (AVX512-VNNI): a load of 64 weights, a group, costs
// two instructions that multiply instead of the four conversions, four times two, that float32 takes.
//
// The input is rounded to integers q of 16 bits: q = 256 · high + low, |q| ≤ 32,512, so that a value is off
// by at most 2^-16 of the largest: little beside the weights' own 2^-8. A third part, for 2^-24, cost a fifth
// of the speed. The instruction takes one unsigned operand, weight + 128; what that adds to a group's sum,
// 128 · Σ q, is taken off again for all groups of a row at once.
#if defined(ECP_KERNELS_INT8_DOT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ECP_KERNELS_INT8_DOT_INL_H_
#undef ECP_KERNELS_INT8_DOT_INL_H_
#else
#define ECP_KERNELS_INT8_DOT_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>
#include <vector>

#include "ecp/kernels/scratch.h"
#include "ecp/kernels/weight_matrix.h"

// As for pairs of bfloat16: what AVX-512 compiles here may use it, and the caller asks before it calls.
#undef ECP_INT8_DOT
#if HWY_TARGET == HWY_AVX3 && defined(__GNUC__) && !defined(__clang__)
#define ECP_INT8_DOT 1
#else
#define ECP_INT8_DOT 0
#endif

#if ECP_INT8_DOT
HWY_BEFORE_NAMESPACE();
#pragma GCC push_options
#pragma GCC target("avx512vnni")
namespace ecp::kernels::HWY_NAMESPACE {

/// An input as integers.
struct IntegerInput {
  const std::int8_t* numbers = nullptr;  // of each group the 64 high halves, then the low ones
  const float* offsets = nullptr;        // [groups, to a multiple of 16]: −128 · Σ q, zero beyond
  float scale = 0;                       // of q; NaN if x isn't finite
};

constexpr float largest_integer = 127 * 256;

/// Floats that an input of `groups` groups takes: its offsets, then its numbers.
constexpr std::int64_t integer_input_floats(std::int64_t groups) {
  return (groups + 15) / 16 * 16 + groups * 2 * weight_group / 4;
}

/// `x` as integers in `memory`, aligned, of `integer_input_floats`.
inline IntegerInput integer_input(const float* x, std::int64_t in, float* memory) {
  static_assert(weight_group == 64);
  constexpr std::int64_t parts = 2 * weight_group;
  const std::int64_t groups = weight_groups(in), padded = (groups + 15) / 16 * 16;
  float* offsets = memory;
  auto* numbers = reinterpret_cast<std::int8_t*>(offsets + padded);
  const auto values = [&](std::int64_t i) HWY_ATTR {  // x from i on, zeros after its end
    const std::int64_t left = in - i;
    return _mm512_maskz_loadu_ps(static_cast<__mmask16>(left >= 16  ? 0xffff
                                                        : left <= 0 ? 0
                                                                    : (1 << left) - 1),
                                 x + i);
  };
  __m512 largest = _mm512_setzero_ps(), nothing = _mm512_setzero_ps();
  for (std::int64_t i = 0; i < in; i += 16) {
    largest = _mm512_max_ps(largest, _mm512_abs_ps(values(i)));
    nothing = _mm512_fmadd_ps(values(i), _mm512_setzero_ps(), nothing);  // NaN of what isn't finite
  }
  const float most = _mm512_reduce_max_ps(largest);
  const bool tiny = most < 1e-30f;
  const __m512 inverse = _mm512_set1_ps(tiny ? 0.0f : largest_integer / most);
  for (std::int64_t group = 0; group < groups; ++group) {
    __m512i sum = _mm512_setzero_si512();
    for (std::int64_t v = 0; v < weight_group; v += 16) {
      const __m512i q = _mm512_cvtps_epi32(_mm512_mul_ps(values(group * weight_group + v), inverse));
      const __m128i low = _mm512_cvtepi32_epi8(q);
      const __m512i high = _mm512_srai_epi32(_mm512_sub_epi32(q, _mm512_cvtepi8_epi32(low)), 8);
      auto* to = reinterpret_cast<__m128i*>(numbers + group * parts + v);
      _mm_store_si128(to, _mm512_cvtepi32_epi8(high));
      _mm_store_si128(to + weight_group / 16, low);
      sum = _mm512_add_epi32(sum, q);
    }
    offsets[group] = -128.0f * static_cast<float>(_mm512_reduce_add_epi32(sum));
  }
  for (std::int64_t group = groups; group < padded; ++group) offsets[group] = 0;
  return {numbers, offsets, (tiny ? 0.0f : most / largest_integer) + _mm512_reduce_add_ps(nothing)};
}

/// Inputs as integers, valid until the calling thread makes others.
class IntegerInputs {
 public:
  IntegerInputs(const float* x, std::int64_t in, std::int64_t inputs, std::int64_t stride) {
    static thread_local Scratch scratch;
    static thread_local std::vector<IntegerInput> made;
    const std::int64_t floats = integer_input_floats(weight_groups(in));
    float* memory = scratch.take(floats * inputs);
    made.resize(static_cast<std::size_t>(inputs));
    for (std::int64_t i = 0; i < inputs; ++i) {
      made[static_cast<std::size_t>(i)] = integer_input(x + i * stride, in, memory + i * floats);
    }
    inputs_ = made.data();
  }
  [[nodiscard]] const IntegerInput* from(std::int64_t input) const { return inputs_ + input; }

 private:
  const IntegerInput* inputs_ = nullptr;
};

/// out[r][n] = Σ weight · x of `rows` rows, of `groups` groups each, and `inputs` inputs: weights and inputs
/// are loaded once for all. Each sum is made alike whatever the rows and inputs beside it.
template <int rows, int inputs>
void int8_dots(const std::int8_t* HWY_RESTRICT weight, const float* HWY_RESTRICT scales,
               const IntegerInput* input, std::int64_t groups, float (&out)[rows][inputs]) {
  __m512 even[rows][inputs], odd[rows][inputs];  // two chains hide the latency of the sums
  for (int r = 0; r < rows; ++r) {
    for (int n = 0; n < inputs; ++n) even[r][n] = odd[r][n] = _mm512_setzero_ps();
  }
  for (std::int64_t group = 0; group < groups; group += 16) {
    const std::int64_t left = groups - group;
    const auto mask = static_cast<__mmask16>(left >= 16 ? 0xffff : (1 << left) - 1);
    for (int r = 0; r < rows; ++r) {
      const __m512 scale = _mm512_maskz_loadu_ps(mask, scales + r * groups + group);
      for (int n = 0; n < inputs; ++n) {
        even[r][n] = _mm512_fmadd_ps(scale, _mm512_load_ps(input[n].offsets + group), even[r][n]);
      }
    }
  }
  const __m512i flip = _mm512_set1_epi8(-128);  // adds 128
  const auto add = [&](std::int64_t group, __m512(&sums)[rows][inputs]) HWY_ATTR {
    __m512i w[rows];
    __m512 scale[rows];
    for (int r = 0; r < rows; ++r) {
      w[r] = _mm512_xor_si512(_mm512_loadu_si512(weight + (r * groups + group) * weight_group), flip);
      scale[r] = _mm512_set1_ps(scales[r * groups + group]);
    }
    for (int n = 0; n < inputs; ++n) {
      const std::int8_t* x = input[n].numbers + group * 2 * weight_group;
      const __m512i high = _mm512_load_si512(x), low = _mm512_load_si512(x + weight_group);
      for (int r = 0; r < rows; ++r) {
        __m512i dot = _mm512_dpbusd_epi32(_mm512_setzero_si512(), w[r], high);
        dot = _mm512_dpbusd_epi32(_mm512_slli_epi32(dot, 8), w[r], low);
        sums[r][n] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale[r], sums[r][n]);
      }
    }
  };
  std::int64_t group = 0;
  for (; group + 2 <= groups; group += 2) {
    add(group, even);
    add(group + 1, odd);
  }
  if (group < groups) add(group, even);
  for (int r = 0; r < rows; ++r) {
    for (int n = 0; n < inputs; ++n) {
      out[r][n] = input[n].scale * _mm512_reduce_add_ps(_mm512_add_ps(even[r][n], odd[r][n]));
    }
  }
}

}  // namespace ecp::kernels::HWY_NAMESPACE
#pragma GCC pop_options
HWY_AFTER_NAMESPACE();
#endif

#endif
