// Initial weights as a function of (seed, parameter name, element).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "ecp/config/parameters.h"

namespace ecp {

/// Fills `tensor` (float32, contiguous, the parameter's shape) by the parameter's rule.
void initialize_parameter(const at::Tensor& tensor, const Parameter& parameter, std::uint64_t seed);

}  // namespace ecp
