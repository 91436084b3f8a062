// The weight of a linear layer as matrix products read it: in float32 itself, in bfloat16 a packed copy,
// which is made again when the weight has changed, that is once per step of the optimizer.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "ecp/ops/packed_weight.h"

namespace ecp {

class LinearWeight : public torch::CustomClassHolder {
 public:
  /// weight [out, in], float32, contiguous. Who writes to it other than by LibTorch's operations tells
  /// `values_changed`.
  explicit LinearWeight(at::Tensor weight) : weight_(std::move(weight)) {}

  [[nodiscard]] const at::Tensor& tensor() const { return weight_; }

  /// y = x · weightᵀ + bias. x [rows, in] and y [rows, out], rows contiguous, both float32 or x bfloat16 and
  /// y either; sums are float32. bias: float32 [out] or undefined. y may be uninitialised.
  void forward(const at::Tensor& x, const at::Tensor& bias, const at::Tensor& y);
  /// x_grad = y_grad · weight, or += if `accumulate`; dtypes as in `forward`.
  void backward(const at::Tensor& y_grad, const at::Tensor& x_grad, bool accumulate = false);

  /// Whether the two below are there for operands of this dtype.
  static bool has_gelu(at::ScalarType dtype);
  /// activated [rows, out] = GELU(pre), pre = x · weightᵀ + bias; undefined, pre isn't written. Contiguous,
  /// of x's dtype.
  void forward_gelu(const at::Tensor& x, const at::Tensor& bias, const at::Tensor& pre,
                    const at::Tensor& activated);
  /// pre_grad [rows, in] = y_grad · weight · GELU'(pre), and activated = GELU(pre) again. Contiguous, of
  /// y_grad's dtype. Returns pre_grad's sum over rows [in], of float32.
  at::Tensor backward_gelu(const at::Tensor& y_grad, const at::Tensor& pre, const at::Tensor& activated,
                           const at::Tensor& pre_grad);

 private:
  [[nodiscard]] std::int64_t changes() const;
  const ops::PackedWeight& packed();
  const at::Tensor& halves();

  at::Tensor weight_;
  std::unique_ptr<ops::PackedWeight> packed_;
  at::Tensor halves_;         // in bfloat16, where there are no packed weights
  std::int64_t copied_ = -1;  // changes() when the copy was made
};

using LinearWeightPtr = c10::intrusive_ptr<LinearWeight>;

/// Keeps what a function's backward needs of a weight, under a name in the function's context; null is kept
/// as null.
void keep(torch::autograd::AutogradContext& context, const std::string& name, const LinearWeightPtr& weight);
LinearWeightPtr kept(const torch::autograd::AutogradContext& context, const std::string& name);

/// To be told after writing to a parameter through a pointer, or by an operation that LibTorch's count of
/// changes misses (the fused optimizers).
void values_changed(const at::Tensor& parameter);

}  // namespace ecp
