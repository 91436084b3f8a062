// Each architecture's parameters by name, shape and treatment. LibTorch modules register from this table, the
// runtime and importers check files against it.
//
// Names (i counts layers from 0; linear weights are [out, in]):
//   embedding.weight [V, d]
//   layers.i.attention.norm.{weight,bias} [d]          bias where norm = layer
//   layers.i.attention.q.weight [d, d]
//   layers.i.attention.kv.weight [H_kv·d_h, d]         shared_kv; otherwise
//   layers.i.attention.{k,v}.weight [H_kv·d_h, d]
//   layers.i.attention.{q_norm,k_norm}.weight [d_h]    qk_norm = rms
//   layers.i.attention.kv_norm.{weight,bias} [d_h]     qk_norm = layer, layer_unused
//   layers.0.attention.compress.{weight,bias} [p, c], [p]   compressed (c = n − ℓ)
//   layers.i.attention.out.{weight,bias} [d, d], [d]
//   layers.i.attention.out_0.{weight,bias}             first_block_output
//   layers.i.ffn.norm.{weight,bias} [d]
//   layers.i.ffn.gate.weight [f, d]                    swiglu
//   layers.i.ffn.{up,down}.{weight,bias} [f, d], [f]; [d, f], [d]
//   norm.{weight,bias} [d]
//   classifier.{weight,bias} [V, d], [V]               weight unless tie_embeddings; with classes: [classes,
//   d]
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ecp/config/model_config.h"

namespace ecp {

enum class Initializer : std::uint8_t {
  zeros,
  ones,
  normal,   // N(0, scale)
  uniform,  // U(−scale, scale)
};

struct Parameter {
  std::string name;
  std::vector<std::int64_t> shape;
  Initializer initializer = Initializer::zeros;
  double scale = 0;
  bool decay = false;  // weight decay applies: weights of linear layers only, as in the paper

  [[nodiscard]] std::int64_t elements() const;
};

/// All parameters in a fixed order. `config` must be valid and have vocab ≥ 1; fails if a product overflows.
std::vector<Parameter> parameters(const ModelConfig& config);
/// Number of all trained values; `without_embeddings` leaves out embedding and classifier.
std::int64_t parameter_count(const ModelConfig& config, bool without_embeddings = false);

}  // namespace ecp
