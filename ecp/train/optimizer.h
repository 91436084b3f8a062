// AdamW with decoupled weight decay (Loshchilov and Hutter 2019) and clipping by the gradients' global norm.
//
// One fused pass per step reads each gradient once and updates weight and moments; the gradients' division by
// the number of trained tokens and the clipping are one factor of that pass. Moments are float32. Results are
// a function of inputs and number of threads, bit for bit.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "ecp/config/train_config.h"
#include "ecp/model/backbone.h"
#include "ecp/weights/safetensors.h"

namespace ecp {

/// Euclidean norm of all gradients as one vector, accumulated in double precision in a fixed order, whatever
/// the number of threads. Undefined gradients count as zero; NaN and infinity come through.
double gradient_norm(const std::vector<at::Tensor>& parameters);

/// What gradients of `norm` are multiplied with so that their norm is at most `most` (0: no limit).
double clip_factor(double norm, double most);

class AdamW {
 public:
  struct Entry {
    std::string name;
    at::Tensor parameter;  // float32, contiguous; updated in place
    bool decay = false;
  };

  /// Decay rate, betas and eps are `config`'s; moments start at zero.
  AdamW(const TrainConfig& config, std::vector<Entry> entries);

  /// One update with the gradients times `gradient_factor`. A parameter whose gradient is undefined is
  /// skipped as in PyTorch: value and moments stay, no decay; bias correction counts steps of the optimizer,
  /// one number for all.
  void step(double lr, double gradient_factor);
  /// Drops the gradients (the next backward pass makes new ones without adding).
  void clear_gradients();

  /// Number of updates so far.
  [[nodiscard]] std::int64_t steps() const { return steps_; }
  /// `m.NAME` and `v.NAME` for every parameter, views valid until the next step.
  [[nodiscard]] std::vector<NamedTensor> state() const;
  /// Restores what `state` gave at `steps`; fails on missing, unknown or differently shaped tensors.
  void load(const SafetensorsFile& file, std::int64_t steps);

 private:
  void update(bool decay, double lr, const at::Tensor& gradient_divisor);

  TrainConfig config_;
  std::vector<Entry> entries_;
  std::vector<at::Tensor> first_moments_, second_moments_;
  std::int64_t steps_ = 0;
};

/// A model's parameters as the optimizer takes them, in the table's order.
std::vector<AdamW::Entry> optimizer_entries(const Backbone& model);

}  // namespace ecp
