// The classifier and its loss together, in chunks of rows: logits never exist at full size, and their
// gradients are made in the same pass.
#pragma once

#include <ATen/core/Tensor.h>

#include "ecp/model/linear.h"

namespace ecp {

/// Σ over rows of −log softmax(classifier(hidden))[target]. hidden [R, d] float32, targets int64 [R]. float32
/// scalar, summed in float64, whose gradients can be asked for once. `bfloat16`: operands of the matrix
/// products.
at::Tensor linear_cross_entropy(const at::Tensor& hidden_RD, const Linear& classifier,
                                const at::Tensor& targets_R, bool bfloat16);

/// Each row's −log softmax(...)[target], float32 [R], without gradients.
at::Tensor linear_negative_log_likelihood(const at::Tensor& hidden_RD, const Linear& classifier,
                                          const at::Tensor& targets_R, bool bfloat16);

}  // namespace ecp
