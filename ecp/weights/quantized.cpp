#include "ecp/weights/quantized.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "ecp/base/error.h"
#include "ecp/kernels/weight_matrix.h"

namespace ecp {

std::string scale_name(const std::string& weight) { return weight + "_scale"; }

std::vector<std::int64_t> scale_shape(const std::vector<std::int64_t>& matrix) {
  return {matrix.at(0), kernels::weight_groups(matrix.at(1))};
}

QuantizedValues quantized(std::span<const float> values, std::int64_t in, const std::string& what) {
  const auto row = static_cast<std::size_t>(in), group = static_cast<std::size_t>(kernels::weight_group);
  QuantizedValues result;
  result.numbers.reserve(values.size());
  for (std::size_t at = 0; at < values.size(); at += row) {
    for (std::size_t first = 0; first < row; first += group) {
      const auto of_group = values.subspan(at + first, std::min(group, row - first));
      float largest = 0;
      for (const float value : of_group) {
        require(std::isfinite(value), "{}: expected finite values, got {}", what, value);
        largest = std::max(largest, std::abs(value));
      }
      float scale = largest / 127;
      if (!std::isfinite(scale * 127)) scale = std::nextafter(scale, 0.0f);
      const float factor = largest > 0 ? 127 / largest : 0;
      result.scales.push_back(scale);
      for (const float value : of_group) {
        const float number =
            std::isfinite(factor) ? std::nearbyint(value * factor) : 0;  // denormal groups: 0
        result.numbers.push_back(static_cast<std::int8_t>(std::clamp(number, -127.0f, 127.0f)));
      }
    }
  }
  return result;
}

std::vector<float> dequantized(const TensorView& numbers, const TensorView& scales) {
  const std::vector<float> scale = scales.to_float();
  const auto in = static_cast<std::size_t>(numbers.shape.at(1));
  const auto groups = static_cast<std::size_t>(kernels::weight_groups(numbers.shape[1]));
  std::vector<float> values(numbers.bytes.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t group = i % in / static_cast<std::size_t>(kernels::weight_group);
    values[i] =
        static_cast<float>(static_cast<std::int8_t>(numbers.bytes[i])) * scale[i / in * groups + group];
  }
  return values;
}

std::vector<float> float_values(const TensorSet& tensors, const std::string& name) {
  const TensorView& tensor = tensors.at(name);
  return tensor.dtype == DType::i8 ? dequantized(tensor, tensors.at(scale_name(name))) : tensor.to_float();
}

}  // namespace ecp
