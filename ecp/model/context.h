// What the layers of one forward pass share: the caller's ForwardContext and the rotary tables for its
// positions.
#pragma once

#include <ATen/core/Tensor.h>

#include "ecp/model/language_model.h"
#include "ecp/model/rope.h"
#include "ecp/ops/interval_attention.h"

namespace ecp {

struct LayerContext {
  const ForwardContext& forward;
  Rotation rotation;   // of the positions of this pass's rows
  double dropout = 0;  // 0 unless training

  /// Dropout's key for one layer.
  [[nodiscard]] ops::DropoutKey dropout_key(std::int64_t layer) const {
    return {dropout, forward.seed, forward.step, layer, forward.samples};
  }
};

}  // namespace ecp
