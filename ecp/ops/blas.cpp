#include "ecp/ops/blas.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "ecp/base/error.h"
#include "ecp/kernels/amx_matmul.h"
#include "ecp/ops/onednn.h"
#include "ecp/ops/tile_products.h"

// The BLAS interface of the library that LibTorch is linked to.
extern "C" {
void sgemm_(const char* transa, const char* transb, const int* m, const int* n, const int* k,
            const float* alpha, const float* a, const int* lda, const float* b, const int* ldb,
            const float* beta, float* c, const int* ldc);
void dgemm_(const char* transa, const char* transb, const int* m, const int* n, const int* k,
            const double* alpha, const double* a, const int* lda, const double* b, const int* ldb,
            const double* beta, double* c, const int* ldc);
}

namespace ecp::ops {
namespace {

/// Rows of A, B and C as a library wants them: the stride of a single stored row means nothing, but is
/// checked.
struct Strides {
  std::int64_t a, b, c;
};

template <typename T>
Strides strides_of(std::int64_t m, std::int64_t n, std::int64_t k, const Matrix<const T>& a,
                   const Matrix<const T>& b, const Matrix<T>& c) {
  return {std::max(a.stride, a.transposed ? m : k), std::max(b.stride, b.transposed ? k : n),
          std::max(c.stride, n)};
}

bool made_by_intel() {
  static const bool intel = [] {
    __builtin_cpu_init();
    return __builtin_cpu_is("intel") != 0;
  }();
  return intel;
}

constexpr std::int64_t least_columns = 64;  // of C that are worth a thread of their own

void call_dnnl(std::int64_t m, std::int64_t n, std::int64_t k, float alpha, Matrix<const float> a,
               Matrix<const float> b, float beta, Matrix<float> c) {
  const Strides strides = strides_of(m, n, k, a, b, c);
  const dnnl::status status = dnnl::sgemm(a.transposed ? 'T' : 'N', b.transposed ? 'T' : 'N', m, n, k, alpha,
                                          a.data, strides.a, b.data, strides.b, beta, c.data, strides.c);
  require(status == dnnl::status::success, "matrix product [{}, {}] x [{}, {}]: oneDNN failed with status {}",
          m, k, k, n, static_cast<int>(status));
}

/// BLAS is column-major: C = A·B by rows is Cᵀ = Bᵀ·Aᵀ by columns.
template <typename T, typename Function>
void call_blas(Function function, std::int64_t m, std::int64_t n, std::int64_t k, T alpha, Matrix<const T> a,
               Matrix<const T> b, T beta, Matrix<T> c) {
  const Strides strides = strides_of(m, n, k, a, b, c);
  const int rows = static_cast<int>(n), columns = static_cast<int>(m), inner = static_cast<int>(k);
  const int stride_a = static_cast<int>(strides.a), stride_b = static_cast<int>(strides.b),
            stride_c = static_cast<int>(strides.c);
  function(b.transposed ? "T" : "N", a.transposed ? "T" : "N", &rows, &columns, &inner, &alpha, b.data,
           &stride_b, a.data, &stride_a, &beta, c.data, &stride_c);
}

}  // namespace

void gemm(std::int64_t m, std::int64_t n, std::int64_t k, float alpha, Matrix<const float> a,
          Matrix<const float> b, float beta, Matrix<float> c) {
  if (made_by_intel()) {
    call_blas(sgemm_, m, n, k, alpha, a, b, beta, c);
    return;
  }
  // oneDNN divides A · Bᵀ among threads unevenly where k is long (175 against 211 GFLOP/s on two cores at
  // 1024 x 256 x 1024), so that each thread gets columns of its own here.
  const std::int64_t threads = at::in_parallel_region() ? 1 : at::get_num_threads();
  const std::int64_t columns = (n / threads + least_columns - 1) / least_columns * least_columns;
  if (threads == 1 || a.transposed || !b.transposed || n / threads < least_columns) {
    call_dnnl(m, n, k, alpha, a, b, beta, c);
    return;
  }
  at::parallel_for(0, (n + columns - 1) / columns, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t first = i * columns;
      call_dnnl(m, std::min(columns, n - first), k, alpha, a, {b.data + first * b.stride, b.stride, true},
                beta, {c.data + first, c.stride});
    }
  });
}

void gemm(std::int64_t m, std::int64_t n, std::int64_t k, double alpha, Matrix<const double> a,
          Matrix<const double> b, double beta, Matrix<double> c) {
  call_blas(dgemm_, m, n, k, alpha, a, b, beta, c);
}

bool gemm_bfloat16(std::int64_t m, std::int64_t n, std::int64_t k, Matrix<const std::uint16_t> a,
                   Matrix<const std::uint16_t> b, bool accumulate, float* c) {
  if (kernels::amx::has_matmul()) {
    multiply_on_tiles(m, n, k, a, b, accumulate, c);
    return true;
  }
  using Memory = dnnl::memory;
  using Type = Memory::data_type;
  dnnl::stream& stream = onednn_stream();
  const auto description = [](std::int64_t rows, std::int64_t columns, const Matrix<const std::uint16_t>& x) {
    return Memory::desc({rows, columns}, Type::bf16,
                        x.transposed ? Memory::dims{1, std::max(x.stride, rows)}
                                     : Memory::dims{std::max(x.stride, columns), 1});
  };
  const auto a_form = description(m, k, a), b_form = description(k, n, b);
  const Memory::desc c_form({m, n}, Type::f32, Memory::dims{n, 1});
  try {
    dnnl::primitive_attr attributes;
    if (accumulate) {
      dnnl::post_ops sum;
      sum.append_sum();
      attributes.set_post_ops(sum);
    }
    // oneDNN keeps primitives by shape, so that this costs little from the second time on.
    const dnnl::matmul::primitive_desc chosen(dnnl::matmul::desc(a_form, b_form, c_form), attributes,
                                              onednn_engine(), true);
    if (!chosen) return false;
    const auto memory = [](const Memory::desc& form, const void* data) {
      return Memory(form, onednn_engine(), const_cast<void*>(data));
    };
    dnnl::matmul(chosen).execute(stream, {{DNNL_ARG_SRC, memory(a_form, a.data)},
                                          {DNNL_ARG_WEIGHTS, memory(b_form, b.data)},
                                          {DNNL_ARG_DST, memory(c_form, c)}});
    stream.wait();
  } catch (const dnnl::error& error) {
    fail("matrix product [{}, {}] x [{}, {}] in bfloat16: {}", m, k, k, n, error.what());
  }
  return true;
}

}  // namespace ecp::ops
