// Reading and writing rows of a tensor as float32, whatever its dtype (float32 in place, bfloat16 through a
// buffer).
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "ecp/ops/rows.h"

namespace ecp {

/// Rows of a contiguous tensor [..., width] of dtype float32 or bfloat16.
class FloatRows {
 public:
  FloatRows(const at::Tensor& tensor, std::int64_t width)
      : data_(tensor.data_ptr()), width_(width), wide_(tensor.scalar_type() == at::kFloat) {}

  /// Row `i` as float32, in place or copied into `buffer`.
  const float* read(std::int64_t i, std::vector<float>& buffer) const {
    if (wide_) return static_cast<const float*>(data_) + i * width_;
    buffer.resize(static_cast<std::size_t>(width_));
    ops::row_to_float(static_cast<const std::uint16_t*>(data_) + i * width_, buffer.data(), width_);
    return buffer.data();
  }
  /// Where row `i` is to be written before `written`: in place or in `buffer`.
  float* begin(std::int64_t i, std::vector<float>& buffer) const {
    if (wide_) return static_cast<float*>(data_) + i * width_;
    buffer.resize(static_cast<std::size_t>(width_));
    return buffer.data();
  }
  void written(std::int64_t i, const std::vector<float>& buffer) const {
    if (!wide_) ops::row_to_bfloat16(buffer.data(), static_cast<std::uint16_t*>(data_) + i * width_, width_);
  }
  void write(std::int64_t i, const float* row) const {
    if (wide_) {
      std::copy_n(row, width_, static_cast<float*>(data_) + i * width_);
    } else {
      ops::row_to_bfloat16(row, static_cast<std::uint16_t*>(data_) + i * width_, width_);
    }
  }

 private:
  void* data_;
  std::int64_t width_;
  bool wide_;
};

}  // namespace ecp
