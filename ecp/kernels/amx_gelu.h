// GELU of vectors between products on tiles, where one port of two is left for them: as few operations as
// results in bfloat16 need. For sources that are compiled between ECP_AMX_BEGIN and ECP_AMX_END.
#pragma once

#include "ecp/kernels/amx_packing.h"

ECP_AMX_BEGIN
namespace ecp::kernels::amx {

/// The normal distribution's tail at a = |x|: Φ(−a) = power · P(1 / (1 + 0.47 a)) with power = e^(−a²/2) and
/// P of degree 4, fitted to a ∈ [0, 13.2] for least relative error (9e-5; with that of the reciprocal below
/// 2e-4, a tenth of what rounding to bfloat16 may be). Beyond 13 both stay what they are there, about 1e-37.
struct NormalTail {
  __m512 a, power, share;  // share: Φ(−a) / power

  explicit HWY_INLINE NormalTail(__m512 x) {
    a = _mm512_min_ps(_mm512_set1_ps(13), _mm512_abs_ps(x));  // NaN remains
    const __m512 t = _mm512_rcp14_ps(_mm512_fmadd_ps(a, _mm512_set1_ps(0.47f), _mm512_set1_ps(1)));
    share = _mm512_fmadd_ps(t, _mm512_set1_ps(-1.263526616e-01f), _mm512_set1_ps(2.933406079e-01f));
    share = _mm512_fmadd_ps(share, t, _mm512_set1_ps(1.384273687e-01f));
    share = _mm512_fmadd_ps(share, t, _mm512_set1_ps(1.949597402e-01f));
    share = _mm512_fmadd_ps(share, t, _mm512_set1_ps(-4.181126919e-04f));
    constexpr float half_log2_e = 0.72134752f;
    power = exp2(_mm512_mul_ps(_mm512_mul_ps(a, a), _mm512_set1_ps(-half_log2_e)), 0xFFFF);
  }
};

/// x Φ(x) = max(x, 0) − a Φ(−a).
HWY_INLINE __m512 gelu(__m512 x, const NormalTail& tail) {
  const __m512 positive = _mm512_max_ps(_mm512_setzero_ps(), x);  // NaN remains
  return _mm512_fnmadd_ps(_mm512_mul_ps(tail.a, tail.power), tail.share, positive);
}

/// Φ(x) + x φ(x): of −a it is Φ(−a) − a φ(a), of a one minus that.
HWY_INLINE __m512 gelu_slope(__m512 x, const NormalTail& tail) {
  constexpr float density = 0.39894228f;  // 1 / √(2π)
  const __m512 below =
      _mm512_mul_ps(tail.power, _mm512_fnmadd_ps(tail.a, _mm512_set1_ps(density), tail.share));
  const __mmask16 negative = _mm512_movepi32_mask(_mm512_castps_si512(x));
  return _mm512_mask_mov_ps(_mm512_sub_ps(_mm512_set1_ps(1), below), negative, below);
}

}  // namespace ecp::kernels::amx
ECP_AMX_END
