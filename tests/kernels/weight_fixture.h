// A weight of each type, with the values that it stands for.
#pragma once

#include <bit>
#include <cstring>
#include <string>

#include "ecp/kernels/weight_matrix.h"
#include "kernel_test.h"

namespace ecp::kernels {

inline constexpr WeightType weight_types[] = {WeightType::float32, WeightType::bfloat16, WeightType::int8};

struct StoredWeight {
  std::vector<float> values;  // [rows, in]
  std::vector<std::uint8_t> bytes;
  std::vector<float> scales;
  WeightMatrix matrix;

  StoredWeight(WeightType type, std::int64_t rows, std::int64_t in, std::uint64_t seed)
      : values(random_values(rows * in, seed)) {
    const std::int64_t stride = weight_stride(type, in), size = size_of(type);
    bytes.resize(static_cast<std::size_t>(rows * stride * size));
    if (type == WeightType::int8) {
      scales = random_values(rows * weight_groups(in), seed + 1000);
      for (float& scale : scales) scale /= 127;
    }
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t i = 0; i < in; ++i) {
        float& value = values[static_cast<std::size_t>(row * in + i)];
        auto* to = bytes.data() + (row * stride + i) * size;
        if (type == WeightType::float32) {
          std::memcpy(to, &value, 4);
        } else if (type == WeightType::bfloat16) {
          const auto half = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16);
          value = std::bit_cast<float>(static_cast<std::uint32_t>(half) << 16);
          std::memcpy(to, &half, 2);
        } else {
          const auto number = static_cast<std::int8_t>(value * 127);
          value = static_cast<float>(number) *
                  scales[static_cast<std::size_t>(row * weight_groups(in) + i / weight_group)];
          std::memcpy(to, &number, 1);
        }
      }
    }
    matrix = {bytes.data(), type, in, scales.empty() ? nullptr : scales.data()};
  }
  StoredWeight(const StoredWeight&) = delete;
  StoredWeight& operator=(const StoredWeight&) = delete;
};

}  // namespace ecp::kernels
