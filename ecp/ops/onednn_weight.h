// A packed weight as oneDNN's kernels read it.
#pragma once

#include <cstdint>
#include <memory>

#include "ecp/ops/packed_weight.h"

namespace ecp::ops {

class OneDnnWeight final : public PackedWeight {
 public:
  /// True where oneDNN has bfloat16 kernels for this machine.
  static bool available();

  OneDnnWeight(std::int64_t out, std::int64_t in);
  ~OneDnnWeight() override;

  void assign(const float* weight) override;
  void forward(std::int64_t rows, OperandRows x, const float* bias, ProductRows y) const override;
  void backward(std::int64_t rows, OperandRows y_grad, ProductRows x_grad) const override;

 private:
  struct Forms;
  std::unique_ptr<Forms> forms_;
};

}  // namespace ecp::ops
