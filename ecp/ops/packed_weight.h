// A linear layer's weight in bfloat16, packed once for many products, as oneDNN's kernels read it.
#pragma once

#include <cstdint>
#include <memory>

namespace ecp::ops {

/// Where a product's rows go, contiguous.
struct ProductRows {
  void* data;
  bool wide = false;        // float32, else bfloat16
  bool accumulate = false;  // added to what is there
};

class PackedWeight {
 public:
  /// True where oneDNN has bfloat16 kernels for this machine; without them there are no packed weights.
  static bool available();

  /// Of [out, in], both at least 1; unusable before `assign`.
  PackedWeight(std::int64_t out, std::int64_t in);
  ~PackedWeight();
  PackedWeight(const PackedWeight&) = delete;
  PackedWeight& operator=(const PackedWeight&) = delete;

  /// Takes new values, float32 row-major [out, in], rounded to nearest even.
  void assign(const float* weight);

  /// y [rows, out] = x [rows, in] · weightᵀ + bias; bfloat16 operands, sums in float32. `bias`: float32 [out]
  /// or null; it is added before y is rounded.
  void forward(std::int64_t rows, const std::uint16_t* x, const float* bias, ProductRows y) const;
  /// x_grad [rows, in] = y_grad [rows, out] · weight.
  void backward(std::int64_t rows, const std::uint16_t* y_grad, ProductRows x_grad) const;

 private:
  struct Forms;
  std::unique_ptr<Forms> forms_;
};

}  // namespace ecp::ops
