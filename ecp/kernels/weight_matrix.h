// A linear layer's weight in memory, [rows, in] in one of three types. Whatever the type, inputs, sums and
// results are float32.
#pragma once

#include <cstdint>

namespace ecp::kernels {

enum class WeightType : std::uint8_t { float32, bfloat16, int8 };

/// Neighbouring int8 elements of a row that share a scale: an element's value is its number times that.
constexpr std::int64_t weight_group = 64;

/// Scales of a row of `in` elements.
constexpr std::int64_t weight_groups(std::int64_t in) { return (in + weight_group - 1) / weight_group; }

/// Elements from one row to the next: beyond `in` rows of bfloat16 and int8 are padded with zeros, so that
/// whole vectors can be read.
constexpr std::int64_t weight_stride(WeightType type, std::int64_t in) {
  return type == WeightType::float32 ? in : weight_groups(in) * weight_group;
}

struct WeightMatrix {
  const void* data = nullptr;  // rows of `weight_stride` elements
  WeightType type = WeightType::float32;
  std::int64_t in = 0;
  const float* scales = nullptr;  // int8: [rows, weight_groups(in)]

  /// The rows from `row` on.
  [[nodiscard]] WeightMatrix from_row(std::int64_t row) const;
};

/// Rows of float32 one after the other.
inline WeightMatrix float_weight(const float* data, std::int64_t in) {
  return {data, WeightType::float32, in, nullptr};
}

constexpr std::int64_t size_of(WeightType type) {
  return type == WeightType::float32 ? 4 : type == WeightType::bfloat16 ? 2 : 1;
}

/// out [rows, in] = the first `rows` rows.
void weight_to_float(const WeightMatrix& weight, std::int64_t rows, float* out);

}  // namespace ecp::kernels
