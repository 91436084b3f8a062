// A matrix in memory, as those who multiply them take it.
#pragma once

#include <cstdint>

namespace ecp::kernels {

/// A row-major matrix in memory; `transposed`: stored as its transpose.
template <typename T>
struct Matrix {
  T* data;
  std::int64_t stride;  // elements between stored rows
  bool transposed = false;

  [[nodiscard]] Matrix t() const { return {data, stride, !transposed}; }
};

}  // namespace ecp::kernels
