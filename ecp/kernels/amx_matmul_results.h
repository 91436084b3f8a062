// What becomes of a product's sums on their way from tiles to memory, row by row between the next products:
// as they are, or with GELU. For sources that are compiled between ECP_AMX_BEGIN and ECP_AMX_END.
#pragma once

#include <cstddef>

#include "ecp/kernels/amx_gelu.h"
#include "ecp/kernels/amx_matmul.h"
#include "ecp/kernels/amx_packing.h"
#include "ecp/kernels/prefetch.h"

ECP_AMX_BEGIN
namespace ecp::kernels::amx {

/// Up to 32 rows and columns of a result.
struct Part {
  std::int64_t row, rows, column, columns;
};

/// Words of bfloat16 as floats: the first sixteen, and the last.
HWY_INLINE __m512 first_floats(__m512i words) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(words)), 16));
}
HWY_INLINE __m512 last_floats(__m512i words) {
  return first_floats(_mm512_castsi256_si512(_mm512_extracti64x4_epi64(words, 1)));
}

/// A part's bias, 32 columns.
struct Bias {
  __m512 first = _mm512_setzero_ps(), last = _mm512_setzero_ps();

  Bias() = default;
  HWY_INLINE Bias(const float* bias, const Part& part) {
    if (bias == nullptr) return;
    first = _mm512_maskz_loadu_ps(first_of_16(part.columns), bias + part.column);
    last = _mm512_maskz_loadu_ps(first_of_16(part.columns - tile), bias + part.column + tile);
  }
};

// Each kind: `ask` prefetches what a part's results need to be there; `begin`, for each of its rows `write`
// with the sums of its first and last 16 columns, and `end`.

template <bool wide, bool accumulate>
class PlainResults {
 public:
  explicit PlainResults(const MatMul& problem) : p_(problem) {}

  HWY_INLINE void ask(const Part& part) const {
    if constexpr (accumulate) {
      for (std::int64_t i = 0; i < part.rows; ++i) {
        std::byte* const to = at(part) + i * p_.result_stride * element;
        prefetch_line(to);
        if constexpr (wide) prefetch_line(to + 64);
      }
    }
  }
  HWY_INLINE void begin(const Part& part) {
    to_ = at(part);
    columns_ = part.columns;
    bias_ = {p_.bias, part};
  }
  HWY_INLINE void write(std::int64_t row, __m512 first, __m512 last) const {
    first = _mm512_add_ps(first, bias_.first);
    last = _mm512_add_ps(last, bias_.last);
    std::byte* const to = to_ + row * p_.result_stride * element;
    if constexpr (wide) {
      write_floats(first, reinterpret_cast<float*>(to), columns_);
      write_floats(last, reinterpret_cast<float*>(to) + tile, columns_ - tile);
    } else {
      write_halves(first, last, reinterpret_cast<std::uint16_t*>(to));
    }
  }
  HWY_INLINE void end() const {}

 private:
  static constexpr std::int64_t element = wide ? sizeof(float) : sizeof(std::uint16_t);

  [[nodiscard]] HWY_INLINE std::byte* at(const Part& part) const {
    return static_cast<std::byte*>(p_.result) + (part.row * p_.result_stride + part.column) * element;
  }

  static HWY_INLINE void write_floats(__m512 x, float* to, std::int64_t columns) {
    const __mmask16 there = first_of_16(columns);
    if constexpr (accumulate) {
      _mm512_mask_storeu_ps(to, there, _mm512_add_ps(x, _mm512_maskz_loadu_ps(there, to)));
    } else if (columns >= tile && reinterpret_cast<std::uintptr_t>(to) % 64 == 0) {
      _mm512_stream_ps(to, x);
    } else {
      _mm512_mask_storeu_ps(to, there, x);
    }
  }

  HWY_INLINE void write_halves(__m512 first, __m512 last, std::uint16_t* to) const {
    if constexpr (accumulate) {
      const __m512i before = words_at(HalfRows{to, 0}, 0, 1, 0, columns_);
      first = _mm512_add_ps(first, first_floats(before));
      last = _mm512_add_ps(last, last_floats(before));
      _mm512_mask_storeu_epi16(to, first_of_32(columns_), rounded(first, last));
    } else {
      store_words(rounded(first, last), to, 0, columns_);
    }
  }

  const MatMul& p_;
  std::byte* to_ = nullptr;
  std::int64_t columns_ = 0;
  Bias bias_;
};

/// result and Gelu::activated = GELU(result).
class GeluResults {
 public:
  explicit GeluResults(const MatMul& problem) : p_(problem) {}

  HWY_INLINE void ask(const Part&) const {}
  HWY_INLINE void begin(const Part& part) {
    to_ = p_.result == nullptr
              ? nullptr
              : static_cast<std::uint16_t*>(p_.result) + part.row * p_.result_stride + part.column;
    activated_ = p_.gelu->activated + part.row * p_.gelu->stride + part.column;
    columns_ = part.columns;
    bias_ = {p_.bias, part};
  }
  HWY_INLINE void write(std::int64_t row, __m512 first, __m512 last) const {
    const __m512i words = rounded(_mm512_add_ps(first, bias_.first), _mm512_add_ps(last, bias_.last));
    if (to_ != nullptr) store_words(words, to_ + row * p_.result_stride, 0, columns_);
    first = first_floats(words);
    last = last_floats(words);
    store_words(rounded(gelu(first, NormalTail(first)), gelu(last, NormalTail(last))),
                activated_ + row * p_.gelu->stride, 0, columns_);
  }
  HWY_INLINE void end() const {}

 private:
  const MatMul& p_;
  std::uint16_t *to_ = nullptr, *activated_ = nullptr;
  std::int64_t columns_ = 0;
  Bias bias_;
};

/// result = sums · GELU'(Gelu::pre), Gelu::activated = GELU(Gelu::pre), and the result's sums over rows.
class GeluGradientResults {
 public:
  explicit GeluGradientResults(const MatMul& problem) : p_(problem) {}

  HWY_INLINE void ask(const Part& part) const {
    for (std::int64_t i = 0; i < part.rows; ++i) prefetch_line(pre(part) + i * p_.gelu->stride);
  }
  HWY_INLINE void begin(const Part& part) {
    pre_ = {pre(part), p_.gelu->stride};
    to_ = static_cast<std::uint16_t*>(p_.result) + part.row * p_.result_stride + part.column;
    activated_ = p_.gelu->activated + part.row * p_.gelu->stride + part.column;
    columns_ = part.columns;
    sums_ = {};
    sums_to_ = p_.gelu->row_sums + part.row / depth * p_.columns + part.column;
  }
  HWY_INLINE void write(std::int64_t row, __m512 first, __m512 last) {
    const __m512i words = words_at(pre_, row, row + 1, 0, columns_);
    const __m512 x = first_floats(words), y = last_floats(words);
    const NormalTail x_tail(x), y_tail(y);
    store_words(rounded(gelu(x, x_tail), gelu(y, y_tail)), activated_ + row * p_.gelu->stride, 0, columns_);
    first = _mm512_mul_ps(first, gelu_slope(x, x_tail));
    last = _mm512_mul_ps(last, gelu_slope(y, y_tail));
    sums_.first = _mm512_add_ps(sums_.first, first);
    sums_.last = _mm512_add_ps(sums_.last, last);
    store_words(rounded(first, last), to_ + row * p_.result_stride, 0, columns_);
  }
  HWY_INLINE void end() const {
    _mm512_mask_storeu_ps(sums_to_, first_of_16(columns_), sums_.first);
    _mm512_mask_storeu_ps(sums_to_ + tile, first_of_16(columns_ - tile), sums_.last);
  }

 private:
  [[nodiscard]] HWY_INLINE const std::uint16_t* pre(const Part& part) const {
    return p_.gelu->pre + part.row * p_.gelu->stride + part.column;
  }

  const MatMul& p_;
  HalfRows pre_{nullptr, 0};
  std::uint16_t *to_ = nullptr, *activated_ = nullptr;
  float* sums_to_ = nullptr;
  std::int64_t columns_ = 0;
  Bias sums_;
};

}  // namespace ecp::kernels::amx
ECP_AMX_END
