#include "ecp/kernels/dropout.h"

#include "ecp/kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ecp/kernels/dropout.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first: it re-includes this file once per instruction set.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace ecp::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

float* dropout_row(std::uint64_t stream, std::int64_t row, std::int64_t first, std::int64_t count,
                   std::uint32_t threshold, float kept, float* HWY_RESTRICT factors) {
  for (std::int64_t i = 0; i < count; ++i)
    factors[i] = drops(stream, row, first + i, threshold) ? 0.0f : kept;
  return factors;
}

#else

/// Philox 4x32-10 (base/random.h) on `lanes` counters at a time.
float* dropout_row(std::uint64_t stream, std::int64_t row, std::int64_t first, std::int64_t count,
                   std::uint32_t threshold, float kept, float* HWY_RESTRICT factors) {
  const hn::CappedTag<std::uint32_t, 16> du;
  const hn::RebindToFloat<decltype(du)> df;
  using VU = hn::Vec<decltype(du)>;
  const hn::Repartition<std::uint64_t, decltype(du)> dw;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(du));

  struct Wide {
    VU high, low;
  };
  const auto multiply = [&](VU a, VU by) HWY_ATTR {  // the 64-bit products' halves
    const auto even = hn::MulEven(a, by);
    const auto odd = hn::MulEven(hn::BitCast(du, hn::ShiftRight<32>(hn::BitCast(dw, a))), by);
    return Wide{hn::OddEven(hn::BitCast(du, odd), hn::BitCast(du, hn::ShiftRight<32>(even))),
                hn::OddEven(hn::BitCast(du, hn::ShiftLeft<32>(odd)), hn::BitCast(du, even))};
  };

  const auto row_bits = static_cast<std::uint64_t>(row);
  const VU limit = hn::Set(du, threshold);
  const auto keep = hn::Set(df, kept);
  std::int64_t at = 0;
  for (std::int64_t group = first / 128; group * 128 < first + count; ++group, at += 128) {
    for (std::int64_t part = 0; part < 16; part += lanes) {
      const auto counter = static_cast<std::uint64_t>(group * 16 + part);
      // 16 counters of a group share their upper half: a group starts at a multiple of 16.
      VU c0 = hn::Iota(du, static_cast<std::uint32_t>(counter));
      VU c1 = hn::Set(du, static_cast<std::uint32_t>(counter >> 32));
      VU c2 = hn::Set(du, static_cast<std::uint32_t>(row_bits));
      VU c3 = hn::Set(du, static_cast<std::uint32_t>(row_bits >> 32));
      auto k0 = static_cast<std::uint32_t>(stream);
      auto k1 = static_cast<std::uint32_t>(stream >> 32);
      for (int round = 0; round < 10; ++round) {
        const Wide p0 = multiply(c0, hn::Set(du, 0xD2511F53u));
        const Wide p1 = multiply(c2, hn::Set(du, 0xCD9E8D57u));
        c0 = hn::Xor(hn::Xor(p1.high, c1), hn::Set(du, k0));
        c1 = p1.low;
        c2 = hn::Xor(hn::Xor(p0.high, c3), hn::Set(du, k1));
        c3 = p0.low;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
      }
      const auto put = [&](VU word, std::int64_t half) HWY_ATTR {
        const auto low = hn::And(word, hn::Set(du, 0xFFFFu));
        const auto high = hn::ShiftRight<16>(word);
        const auto factor = [&](VU bits) HWY_ATTR {
          return hn::IfThenElseZero(hn::RebindMask(df, hn::Not(hn::Lt(bits, limit))), keep);
        };
        hn::StoreU(factor(low), df, factors + at + half * 16 + part);
        hn::StoreU(factor(high), df, factors + at + (half + 1) * 16 + part);
      };
      put(c0, 0);
      put(c1, 2);
      put(c2, 4);
      put(c3, 6);
    }
  }
  return factors + first % 128;
}

#endif

}  // namespace ecp::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ecp::kernels {

HWY_EXPORT(dropout_row);

float* dropout_row(std::uint64_t stream, std::int64_t row, std::int64_t first, std::int64_t count,
                   std::uint32_t threshold, float kept, float* factors) {
  return HWY_DYNAMIC_DISPATCH(dropout_row)(stream, row, first, count, threshold, kept, factors);
}

}  // namespace ecp::kernels
#endif
