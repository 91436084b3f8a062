// Generation from any language model by computing its window anew for each token: what latent architectures,
// which have no cache, are left with.
#pragma once

#include <memory>
#include <vector>

#include "ecp/model/language_model.h"
#include "ecp/runtime/logit_source.h"

namespace ecp {

class WindowSource : public runtime::LogitSource {
 public:
  /// The model is evaluated over the last n tokens, n its trained length.
  explicit WindowSource(std::shared_ptr<LanguageModel> model);

  void forward(std::span<const Token> tokens, Rows wanted, std::vector<float>& logits) override;
  [[nodiscard]] std::int64_t rows() const override { return rows_; }
  /// None: the window's tokens.
  [[nodiscard]] std::uint64_t cache_bytes() const override { return window_.size() * sizeof(std::int64_t); }

 private:
  std::shared_ptr<LanguageModel> model_;
  std::vector<std::int64_t> window_;  // the last tokens, at most n
  std::int64_t rows_ = 0;
};

}  // namespace ecp
