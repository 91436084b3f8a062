// Matrix products on row-major memory with leading dimensions, for tiles inside a parallel region: the BLAS
// that LibTorch carries (as ATen calls it), which runs on the calling thread there.
#pragma once

#include <algorithm>
#include <cstdint>

extern "C" {
void sgemm_(const char* transa, const char* transb, const int* m, const int* n, const int* k,
            const float* alpha, const float* a, const int* lda, const float* b, const int* ldb,
            const float* beta, float* c, const int* ldc);
void dgemm_(const char* transa, const char* transb, const int* m, const int* n, const int* k,
            const double* alpha, const double* a, const int* lda, const double* b, const int* ldb,
            const double* beta, double* c, const int* ldc);
}

namespace ecp::ops {

/// A row-major matrix in memory; `transposed`: stored as its transpose.
template <typename T>
struct Matrix {
  T* data;
  std::int64_t stride;  // elements between stored rows
  bool transposed = false;

  [[nodiscard]] Matrix t() const { return {data, stride, !transposed}; }
};

/// C [m, n] = alpha · A [m, k] · B [k, n] + beta · C, C not transposed. With beta 0, C may be uninitialised.
template <typename T>
void gemm(std::int64_t m, std::int64_t n, std::int64_t k, T alpha, Matrix<const T> a, Matrix<const T> b,
          T beta, Matrix<T> c) {
  // BLAS is column-major: C = A·B by rows is Cᵀ = Bᵀ·Aᵀ by columns.
  const int rows = static_cast<int>(n), columns = static_cast<int>(m), inner = static_cast<int>(k);
  // The stride of a single stored row means nothing to us, but BLAS checks it.
  const int stride_a = static_cast<int>(std::max(a.stride, a.transposed ? m : k));
  const int stride_b = static_cast<int>(std::max(b.stride, b.transposed ? k : n));
  const int stride_c = static_cast<int>(std::max(c.stride, n));
  const char* form_a = a.transposed ? "T" : "N";
  const char* form_b = b.transposed ? "T" : "N";
  if constexpr (sizeof(T) == sizeof(float)) {
    sgemm_(form_b, form_a, &rows, &columns, &inner, &alpha, b.data, &stride_b, a.data, &stride_a, &beta,
           c.data, &stride_c);
  } else {
    dgemm_(form_b, form_a, &rows, &columns, &inner, &alpha, b.data, &stride_b, a.data, &stride_a, &beta,
           c.data, &stride_c);
  }
}

}  // namespace ecp::ops
