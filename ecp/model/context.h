// What one layer of a forward pass is told: the caller's ForwardContext, what attends to what, and the rotary
// tables for the positions of its rows.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "ecp/config/attention_plan.h"
#include "ecp/model/backbone.h"
#include "ecp/model/rope.h"
#include "ecp/ops/interval_attention.h"

namespace ecp {

struct LayerContext {
  const ForwardContext& forward;
  LayerPlan plan;
  Rotation rotation;                         // of the layer's input rows
  std::optional<at::Tensor> document_start;  // int32 [B, rows], in rows of this layer
  double dropout = 0;                        // 0 unless training

  /// Dropout's key for one layer.
  [[nodiscard]] ops::DropoutKey dropout_key(std::int64_t layer) const {
    return {dropout, forward.seed, forward.step, layer, forward.samples};
  }
};

}  // namespace ecp
