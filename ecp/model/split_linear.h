// Two linear layers over the rows of one tensor, without taking it apart and joining it again.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "ecp/model/linear.h"

namespace ecp {

/// x [B, n, in] → [B, n, out]: rows [0, split) of each window through `first`, the others through `rest`, in
/// bfloat16 if asked, else in float32. 0 < split < n; both layers have biases, or neither has.
at::Tensor split_linear(const Linear& first, const Linear& rest, const at::Tensor& x_BND, std::int64_t split,
                        bool bfloat16);

}  // namespace ecp
