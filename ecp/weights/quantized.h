// int8 weights: matrices [rows, in] as I8 numbers, and beside each under `scale_name` F32 scales
// [rows, ceil(in / 64)]. A value is its number times the scale of its group, 64 neighbours in a row.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ecp/weights/tensor_set.h"

namespace ecp {

/// "layers.0.ffn.up.weight_scale" for "layers.0.ffn.up.weight".
std::string scale_name(const std::string& weight);
/// The shape of the scales of a matrix [rows, in].
std::vector<std::int64_t> scale_shape(const std::vector<std::int64_t>& matrix);

struct QuantizedValues {
  std::vector<std::int8_t> numbers;
  std::vector<float> scales;
};

/// Rows of `in` values: a group's scale is its largest magnitude / 127, numbers are rounded to nearest.
/// Fails, naming `what`, on values that aren't finite.
QuantizedValues quantized(std::span<const float> values, std::int64_t in, const std::string& what);

/// The values of I8 numbers [rows, in] with their scales, whose shapes and types were checked.
std::vector<float> dequantized(const TensorView& numbers, const TensorView& scales);

/// A tensor's values as float32, int8 ones with their scales.
std::vector<float> float_values(const TensorSet& tensors, const std::string& name);

}  // namespace ecp
