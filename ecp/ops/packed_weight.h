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

/// Rows of bfloat16 [rows, columns] before and after GELU, `stride` elements apart.
struct GeluRows {
  std::uint16_t *pre, *activated;
  std::int64_t stride;
};

class PackedWeight {
 public:
  /// True where there are bfloat16 kernels for this machine; without them there are no packed weights.
  static bool available();

  /// Whether products are faster where each row of a result begins a line of memory. Else rows with gaps are
  /// to be avoided: oneDNN has slow kernels only for them.
  static bool writes_lines();

  /// Whether there are products with GELU, `forward_gelu` and `backward_gelu`.
  static bool has_gelu();

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

  /// y.pre = x · weightᵀ + bias, not written if null, and y.activated = GELU(y.pre).
  virtual void forward_gelu(std::int64_t rows, OperandRows x, const float* bias, GeluRows y) const;
  /// Where this layer's input is x.activated = GELU(x.pre): x.activated again, and pre_grad = y_grad · weight
  /// · GELU'(x.pre), as far apart as x's rows. sum [in], contiguous: pre_grad summed over rows before it is
  /// rounded.
  virtual void backward_gelu(std::int64_t rows, OperandRows y_grad, GeluRows x, std::uint16_t* pre_grad,
                             float* sum) const;

 protected:
  PackedWeight() = default;
};

}  // namespace ecp::ops
