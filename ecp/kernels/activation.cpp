#include "ecp/kernels/activation.h"

#include "ecp/kernels/isa.h"
#include "ecp/kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ecp/kernels/activation.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace ecp::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

struct Normal {
  V cdf;    // Φ(x)
  V power;  // e^(−x²/2)
};

/// The normal distribution. For a = |x|: Φ(−a) = e^(−a²/2) · P(1 / (1 + 0.3 a)), where P is a
/// polynomial of degree 8 fitted to a ∈ [0, 13.5] for least relative error (6e-8); beyond, Φ(−a) is below
/// float32's range.
HWY_INLINE Normal normal_cdf(D d, V x) {
  constexpr float coefficients[] = {3.83347012e-02f,  -1.68954000e-01f, 2.28221342e-01f,
                                    -7.60039836e-02f, 1.42187923e-01f,  9.48318392e-02f,
                                    1.21882327e-01f,  1.19493030e-01f,  6.85477198e-06f};
  const V one = hn::Set(d, 1.0f);
  const V a = hn::Abs(x);
  const V t = hn::Div(one, hn::MulAdd(a, hn::Set(d, 0.3f), one));
  V polynomial = hn::Set(d, coefficients[0]);
  for (std::size_t i = 1; i < 9; ++i) polynomial = hn::MulAdd(polynomial, t, hn::Set(d, coefficients[i]));
  const V exponent = hn::Mul(hn::Mul(a, a), hn::Set(d, -0.5f));
  // Below e^-87 numbers are denormal: zero serves as well and is not a hundred times slower.
  const V power = hn::IfThenZeroElse(hn::Lt(exponent, hn::Set(d, -87.0f)),
                                     hn::Exp(d, hn::Max(exponent, hn::Set(d, -88.0f))));
  const V tail = hn::Mul(power, polynomial);
  return {hn::IfThenElse(hn::Lt(x, hn::Zero(d)), tail, hn::Sub(one, tail)), power};
}

/// 1 / (1 + e^−x)
HWY_INLINE V logistic(D d, V x) {
  // e^87 is still finite; the quotient is then as good as zero.
  const V power = hn::Exp(d, hn::Clamp(hn::Neg(x), hn::Set(d, -87.0f), hn::Set(d, 87.0f)));
  return hn::Div(hn::Set(d, 1.0f), hn::Add(hn::Set(d, 1.0f), power));
}

/// Calls step(i, mask) for the vectors of a row; the last one may be short.
template <class Step>
HWY_INLINE void for_vectors(std::int64_t count, const Step& step) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t i = 0; i < count; i += lanes) {
    step(i, hn::FirstN(d, static_cast<std::size_t>(count - i < lanes ? count - i : lanes)));
  }
}

void gelu_all(const float* x, float* out, std::int64_t count) {
  const D d;
  for_vectors(count, [&](std::int64_t i, auto mask) HWY_ATTR {
    const V value = hn::MaskedLoad(mask, d, x + i);
    hn::BlendedStore(hn::Mul(value, normal_cdf(d, value).cdf), mask, d, out + i);
  });
}

void gelu_backward_all(const float* x, const float* g, float* out, float* dx, std::int64_t count) {
  const D d;
  const V density = hn::Set(d, 0.398942280f);  // 1 / √(2π)
  for_vectors(count, [&](std::int64_t i, auto mask) HWY_ATTR {
    const V value = hn::MaskedLoad(mask, d, x + i), grad = hn::MaskedLoad(mask, d, g + i);
    const Normal normal = normal_cdf(d, value);
    const V slope = hn::MulAdd(hn::Mul(value, density), normal.power, normal.cdf);
    hn::BlendedStore(hn::Mul(value, normal.cdf), mask, d, out + i);
    hn::BlendedStore(hn::Mul(grad, slope), mask, d, dx + i);
  });
}

void silu_all(const float* gate, const float* up, float* out, std::int64_t count) {
  const D d;
  for_vectors(count, [&](std::int64_t i, auto mask) HWY_ATTR {
    const V x = hn::MaskedLoad(mask, d, gate + i);
    const V value = hn::Mul(hn::Mul(x, logistic(d, x)), hn::MaskedLoad(mask, d, up + i));
    hn::BlendedStore(value, mask, d, out + i);
  });
}

void silu_backward_all(const float* gate, const float* up, const float* g, float* out, float* dgate,
                       float* dup, std::int64_t count) {
  const D d;
  const V one = hn::Set(d, 1.0f);
  for_vectors(count, [&](std::int64_t i, auto mask) HWY_ATTR {
    const V x = hn::MaskedLoad(mask, d, gate + i), u = hn::MaskedLoad(mask, d, up + i);
    const V grad = hn::MaskedLoad(mask, d, g + i), s = logistic(d, x);
    const V silu = hn::Mul(x, s);
    const V slope = hn::Mul(s, hn::MulAdd(x, hn::Sub(one, s), one));  // σ (1 + x (1 − σ))
    hn::BlendedStore(hn::Mul(silu, u), mask, d, out + i);
    hn::BlendedStore(hn::Mul(hn::Mul(grad, u), slope), mask, d, dgate + i);
    hn::BlendedStore(hn::Mul(grad, silu), mask, d, dup + i);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace ecp::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ecp::kernels {
namespace {
HWY_EXPORT(gelu_all);
HWY_EXPORT(gelu_backward_all);
HWY_EXPORT(silu_all);
HWY_EXPORT(silu_backward_all);
}  // namespace

void gelu(const float* x, float* out, std::int64_t count) {
  isa();
  HWY_DYNAMIC_DISPATCH(gelu_all)(x, out, count);
}

void gelu_backward(const float* x, const float* g, float* out, float* dx, std::int64_t count) {
  isa();
  HWY_DYNAMIC_DISPATCH(gelu_backward_all)(x, g, out, dx, count);
}

void silu_times(const float* gate, const float* up, float* out, std::int64_t count) {
  isa();
  HWY_DYNAMIC_DISPATCH(silu_all)(gate, up, out, count);
}

void silu_times_backward(const float* gate, const float* up, const float* g, float* out, float* dgate,
                         float* dup, std::int64_t count) {
  isa();
  HWY_DYNAMIC_DISPATCH(silu_backward_all)(gate, up, g, out, dgate, dup, count);
}

}  // namespace ecp::kernels
#endif
