// The product that the benchmarks' rates are compared with, measured in the same run: [2048, 768] x [768,
// 3072], in float32, or in bfloat16 with packed weights.
#pragma once

#include <ATen/ATen.h>

#include <chrono>
#include <optional>

#include "ecp/ops/blas.h"
#include "ecp/ops/packed_weight.h"

namespace ecp::benchmarks {

class Ceiling {
 public:
  explicit Ceiling(bool bfloat16) : bfloat16_(bfloat16) {
    const at::Tensor weight = at::randn({columns, inner});
    x_ = at::randn({rows, inner}).to(bfloat16 ? at::kBFloat16 : at::kFloat);
    y_ = at::zeros({rows, columns});
    if (bfloat16) {
      packed_.emplace(columns, inner).assign(weight.const_data_ptr<float>());
    } else {
      weight_ = weight;
    }
  }

  /// Seconds of one product, the mean of `repeats`.
  double seconds(int repeats) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < repeats; ++i) multiply();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / repeats;
  }
  static constexpr double operations() { return 2.0 * rows * inner * columns; }

 private:
  void multiply() {
    float* y = y_.mutable_data_ptr<float>();
    if (bfloat16_) {
      packed_->forward(rows, static_cast<const std::uint16_t*>(x_.const_data_ptr()), nullptr, {y, true});
    } else {
      ops::gemm(rows, columns, inner, 1.0f, {x_.const_data_ptr<float>(), inner},
                {weight_.const_data_ptr<float>(), inner, true}, 0.0f, {y, columns});
    }
  }

  static constexpr std::int64_t rows = 2048, inner = 768, columns = 3072;
  bool bfloat16_;  // where there are no kernels for it, construction fails
  at::Tensor x_, y_, weight_;
  std::optional<ops::PackedWeight> packed_;
};

}  // namespace ecp::benchmarks
