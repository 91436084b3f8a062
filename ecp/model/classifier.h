// A classifier of whole inputs: a backbone, its rows pooled to one, a linear layer to the classes.
#pragma once

#include "ecp/model/backbone.h"
#include "ecp/model/linear.h"

namespace ecp {

class Classifier : public Backbone {
 public:
  /// Registers the parameters of `parameters(config)`, uninitialised. `config.classes` ≥ 2, `config.vocab` ≥
  /// 1.
  explicit Classifier(const ModelConfig& config);

  /// Logits [B, classes], float32, for tokens [B, n] (int64).
  at::Tensor logits(const at::Tensor& tokens_BN, const ForwardContext& context = {});
  /// Sum of the cross-entropies (natural log) with the labels [B] (int64, from 0). float32 scalar.
  at::Tensor loss_sum(const at::Tensor& tokens_BN, const at::Tensor& labels_B,
                      const ForwardContext& context = {});

 private:
  Linear classifier_;
};

}  // namespace ecp
