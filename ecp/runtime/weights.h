// A model's weights as the layer step wants them: aligned, projections of the same input joined into one.
// Matrices keep the checkpoint's type, float32, bfloat16 or int8 (weights/quantized.h), which is what reading
// them for each token costs; the rest is float32.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ecp/config/model_config.h"
#include "ecp/kernels/weight_matrix.h"
#include "ecp/runtime/float_buffer.h"
#include "ecp/weights/safetensors.h"

namespace ecp::runtime {

struct Linear {
  kernels::WeightMatrix weight;  // [out, in]; its data null in a layer that isn't there
  const float* bias = nullptr;   // [out], may be null
  std::int64_t out = 0;
};

struct NormWeights {
  const float* weight = nullptr;
  const float* bias = nullptr;
};

struct LayerWeights {
  NormWeights attention_norm, ffn_norm;
  Linear qkv;                     // q, k, v (or q, kv) below one another
  const float* q_norm = nullptr;  // [d_h], null without norms on queries and keys
  const float* k_norm = nullptr;
  Linear out, first_out;  // first_out: block 0's
  Linear up;              // swiglu: gate, up below one another
  Linear down;
};

class Weights {
 public:
  /// Finds each tensor by its name in config/parameters.h, and scales by theirs. Fails on a missing one or a
  /// wrong shape.
  using Find = std::function<const TensorView&(const std::string& name)>;
  Weights(const ModelConfig& config, const Find& find);

  kernels::WeightMatrix embedding;  // [V, d]
  std::vector<LayerWeights> layers;
  NormWeights norm;
  Linear classifier;

  [[nodiscard]] const ModelConfig& config() const { return config_; }
  /// Of the configuration and all values as they are kept. Reads everything.
  [[nodiscard]] std::string hash() const;

 private:
  ModelConfig config_;
  std::vector<FloatBuffer> memory_;
};

}  // namespace ecp::runtime
