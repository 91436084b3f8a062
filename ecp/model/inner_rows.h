// The rows between a feed-forward's products: activation (GELU, or SwiGLU with a gate) and dropout, one row
// at a time while it is in cache. Nothing of them is kept but the products themselves, "pre-activations": the
// backward computes the rest again.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "ecp/kernels/dropout.h"
#include "ecp/ops/interval_attention.h"

namespace ecp {

/// Matrices [rows, width] of one dtype, float32 or bfloat16, or what belongs to each; `gate` undefined: GELU.
struct PreActivations {
  at::Tensor up, gate;
};

class InnerRows {
 public:
  /// `window`: rows of a sample, by which dropout counts.
  InnerRows(const ops::DropoutKey& dropout, std::int64_t window, std::int64_t width);

  /// out [rows, width] = dropout(activation(pre)). Row 0 is row `first` of the batch.
  void forward(const PreActivations& pre, std::int64_t first, const at::Tensor& out) const;

  /// `out` again; `grads.up`, the gradient of `out` when called, becomes that of pre.up, and grads.gate is
  /// written. Where `sums` are defined, float32 [width], these gradients' sums over rows are added to them,
  /// in an order that doesn't depend on threads.
  void backward(const PreActivations& pre, std::int64_t first, const at::Tensor& out,
                const PreActivations& grads, const PreActivations& sums) const;

 private:
  const float* dropout_factors(std::int64_t row, std::vector<float>& scratch) const;

  ops::DropoutKey key_;
  std::int64_t window_, width_;
  std::uint32_t threshold_;
  float kept_ = 1;
};

}  // namespace ecp
