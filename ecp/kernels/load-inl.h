// Elements in memory as vectors of float32.
#if defined(ECP_KERNELS_LOAD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ECP_KERNELS_LOAD_INL_H_
#undef ECP_KERNELS_LOAD_INL_H_
#else
#define ECP_KERNELS_LOAD_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace ecp::kernels::HWY_NAMESPACE {

/// A vector from `from` on: float32, bfloat16 as std::uint16_t, or int8.
template <class D, class E>
HWY_INLINE hwy::HWY_NAMESPACE::Vec<D> load_floats(D d, const E* HWY_RESTRICT from) {
  namespace hn = hwy::HWY_NAMESPACE;
  if constexpr (sizeof(E) == 4) {
    return hn::LoadU(d, from);
  } else if constexpr (sizeof(E) == 2) {
    const hn::RebindToUnsigned<D> du;
    const hn::Rebind<std::uint16_t, D> du16;
    return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(du, hn::LoadU(du16, from))));
  } else {
    const hn::RebindToSigned<D> di;
    const hn::Rebind<std::int8_t, D> di8;
    return hn::ConvertTo(d, hn::PromoteTo(di, hn::LoadU(di8, from)));
  }
}

}  // namespace ecp::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
