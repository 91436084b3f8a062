// Activation checkpointing: a part of a model keeps its input alone for the backward, which computes the part
// again. Memory for about a third more operations; results and gradients are the same, bit for bit.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace ecp {

/// part(x) → a tensor; a function of x and of parameters that keep their values until the backward.
using ModelPart = std::function<at::Tensor(const at::Tensor& x)>;

/// part(x). In the backward the parameters' gradients are added to their own, outside of the graph that asks.
/// Without gradients, or where x has none, it is just that.
at::Tensor recomputed(ModelPart part, const at::Tensor& x);

}  // namespace ecp
