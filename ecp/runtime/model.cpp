#include "ecp/runtime/model.h"

#include <map>

#include "ecp/base/error.h"
#include "ecp/runtime/cached_source.h"
#include "ecp/runtime/logit_source.h"
#include "ecp/runtime/weights.h"
#include "ecp/weights/checkpoint.h"
#include "ecp/weights/safetensors.h"

namespace ecp {

Model::Model(const ModelConfig& config, NewLogitSource source, std::shared_ptr<const Tokenizer> tokenizer)
    : config_(config), tokenizer_(std::move(tokenizer)), new_source_(std::move(source)) {
  require(tokenizer_ == nullptr || tokenizer_->vocab_size() <= config_.vocab,
          "model: its vocabulary of {} tokens doesn't match the tokenizer's {}", config_.vocab,
          tokenizer_ != nullptr ? tokenizer_->vocab_size() : 0);
}

Model::~Model() = default;

std::shared_ptr<const Model> Model::create(const ModelConfig& config, NewLogitSource source,
                                           std::shared_ptr<const Tokenizer> tokenizer) {
  return std::shared_ptr<const Model>(new Model(config, std::move(source), std::move(tokenizer)));
}

std::shared_ptr<const Model> Model::create(std::shared_ptr<const runtime::Weights> weights,
                                           std::shared_ptr<const Tokenizer> tokenizer, int threads) {
  const ModelConfig config = weights->config();
  const auto decoders = std::make_shared<runtime::Decoders>(std::move(weights), threads);
  return create(
      config, [decoders] { return std::make_unique<runtime::CachedSource>(decoders); }, std::move(tokenizer));
}

std::shared_ptr<const Model> Model::load(const Path& path, int threads) {
  return load(Checkpoint(path), threads);
}

std::shared_ptr<const Model> Model::load(const Checkpoint& checkpoint, int threads) {
  require(checkpoint.model().classes == 0,
          "checkpoint '{}': it classifies into {} classes and writes no text (ecp eval tells how well)",
          checkpoint.folder().string(), checkpoint.model().classes);
  const TensorSet tensors = checkpoint.weights();
  auto weights = std::make_shared<const runtime::Weights>(
      checkpoint.model(), [&](const std::string& name) -> const TensorView& { return tensors.at(name); });
  return create(std::move(weights), checkpoint.tokenizer(), threads);
}

std::shared_ptr<const Model> Model::create(const ModelConfig& config, std::span<const NamedTensor> tensors,
                                           std::shared_ptr<const Tokenizer> tokenizer, int threads) {
  std::map<std::string, const TensorView*> by_name;
  for (const NamedTensor& tensor : tensors) by_name[tensor.name] = &tensor.view;
  auto weights =
      std::make_shared<const runtime::Weights>(config, [&](const std::string& name) -> const TensorView& {
        const auto found = by_name.find(name);
        require(found != by_name.end(), "model: tensor '{}' is missing", name);
        return *found->second;
      });
  return create(std::move(weights), std::move(tokenizer), threads);
}

std::unique_ptr<runtime::LogitSource> Model::new_source() const { return new_source_(); }

Session Model::session(const Sampling& sampling) const { return {shared_from_this(), sampling}; }

Session Model::restore(const Path& session) const { return Session::restore(shared_from_this(), session); }

}  // namespace ecp
