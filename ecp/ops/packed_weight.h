// A linear layer's weight in bfloat16, packed once for many products.
#pragma once

#include <cstdint>
#include <memory>

namespace ecp::ops {

/// Rows of bfloat16, `stride` elements apart.
struct OperandRows {
  const std::uint16_t* data;
  std::int64_t stride;
};

/// Where a product's rows go, `stride` elements apart.
struct ProductRows {
  void* data;
  std::int64_t stride;
  bool wide = false;        // float32, else bfloat16
  bool accumulate = false;  // added to what is there
};

class PackedWeight {
 public:
  /// True where there are bfloat16 kernels for this machine; without them there are no packed weights.
  static bool available();

  /// Whether products are faster where each row of a result begins a line of memory. Else rows with gaps are
  /// to be avoided: oneDNN has slow kernels only for them.
  static bool writes_lines();

  /// Of [out, in], both at least 1, in the form that is fastest here; unusable before `assign`.
  static std::unique_ptr<PackedWeight> make(std::int64_t out, std::int64_t in);

  virtual ~PackedWeight() = default;
  PackedWeight(const PackedWeight&) = delete;
  PackedWeight& operator=(const PackedWeight&) = delete;

  /// Takes new values, float32 row-major [out, in], rounded to nearest even.
  virtual void assign(const float* weight) = 0;

  /// y [rows, out] = x [rows, in] · weightᵀ + bias; bfloat16 operands, sums in float32. `bias`: float32 [out]
  /// or null; it is added before y is rounded.
  virtual void forward(std::int64_t rows, OperandRows x, const float* bias, ProductRows y) const = 0;
  /// x_grad [rows, in] = y_grad [rows, out] · weight.
  virtual void backward(std::int64_t rows, OperandRows y_grad, ProductRows x_grad) const = 0;

 protected:
  PackedWeight() = default;
};

}  // namespace ecp::ops
