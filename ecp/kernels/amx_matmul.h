// Products of matrices in bfloat16 on tiles of AMX, summed in float32: a linear layer's forward and the
// gradients of its input and of its weight.
#pragma once

#include <cstdint>

#include "ecp/kernels/matrix.h"

namespace ecp::kernels::amx {

/// Whether this machine, and ECP_CPU_ISA, let `matmul` run.
bool has_matmul();

/// Elements of bfloat16 that a right operand [inner, columns] takes in the form of tiles.
std::int64_t right_elements(std::int64_t inner, std::int64_t columns);

/// A matrix in the form of a right operand: [panels of 32 columns, steps of 32 along the sum, 2] tiles; what
/// is beyond its edges is zero. `to` starts a line of memory. T is float, then rounded to nearest even
/// and written past the caches (a weight's copy is read long after), or std::uint16_t with bfloat16's bits.
/// Works on bands [begin, end) of 32 stored rows each.
template <class T>
void pack_right(Matrix<const T> from, std::int64_t inner, std::int64_t columns, std::uint16_t* to,
                std::int64_t begin, std::int64_t end);
std::int64_t right_bands(bool transposed, std::int64_t inner, std::int64_t columns);

/// GELU done with a product's results before they leave the core, all in bfloat16 (relative error of its Φ
/// 2e-4, a tenth of what rounding makes).
struct Gelu {
  std::uint16_t* activated;  // [rows, columns]
  std::int64_t stride;       // elements from one row to the next of `activated` and `pre`
  // Null: activated = GELU(result), of the rounded result, which is not written if it is null.
  // Else: activated = GELU(pre), result = (left · right) · GELU'(pre), without bias.
  const std::uint16_t* pre;
  float*
      row_sums;  // with `pre`: [row_sums(rows), columns], the results summed over some rows each, not rounded
};
/// Sums that the results of `rows` rows are, in all.
std::int64_t row_sums(std::int64_t rows);

/// result = left · right + bias, [rows, columns].
struct MatMul {
  std::int64_t rows, inner, columns;
  Matrix<const std::uint16_t> left;  // [rows, inner]
  const std::uint16_t* right;        // as pack_right leaves it
  const float* bias;                 // [columns], or null
  void* result;                // rows of it, which lines of memory should begin: they are faster to write
  std::int64_t result_stride;  // elements from one row to the next
  bool wide;                   // float32, else bfloat16
  bool accumulate;             // added to what is there
  const Gelu* gelu = nullptr;  // or null; results are then neither wide nor added
};

/// The work in tasks. A range of them on one thread costs less than the same tasks on several; the result
/// doesn't depend on it.
std::int64_t matmul_tasks(const MatMul& problem);
void matmul(const MatMul& problem, std::int64_t begin, std::int64_t end);

}  // namespace ecp::kernels::amx
