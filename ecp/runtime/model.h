// Inference without LibTorch: a model read from a checkpoint, shared by any number of sessions.
//
//   auto model = ecp::Model::load("runs/austen");
//   auto session = model->session({.temperature = 0.8f, .seed = 1});
//   session.prompt("It is a truth");
//   while (auto piece = session.next()) std::cout << *piece << std::flush;
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "ecp/base/path.h"
#include "ecp/config/model_config.h"
#include "ecp/runtime/session.h"
#include "ecp/text/tokenizer.h"

namespace ecp {

class Checkpoint;
struct NamedTensor;
namespace runtime {
class LogitSource;
class Weights;
}  // namespace runtime

/// Makes the source of one session's logits.
using NewLogitSource = std::function<std::unique_ptr<runtime::LogitSource>()>;

/// A model, shared by the sessions that it gives and kept as long as one of them lives. Thread-safe.
class Model : public std::enable_shared_from_this<Model> {
 public:
  /// From a checkpoint or run folder; verified. `threads` 0: all available CPUs. Fails for models without a
  /// cache (of latents), which libecp can't compute.
  static std::shared_ptr<const Model> load(const Path& path, int threads = 0);
  /// The same from a checkpoint that was opened before.
  static std::shared_ptr<const Model> load(const Checkpoint& checkpoint, int threads = 0);
  /// From weights in memory (the trainer's samples); copies what it needs. Fails on a missing tensor, a wrong
  /// shape, or a tokenizer with more tokens than `config.vocab`. `tokenizer` may be null: then tokens only.
  static std::shared_ptr<const Model> create(const ModelConfig& config, std::span<const NamedTensor> weights,
                                             std::shared_ptr<const Tokenizer> tokenizer, int threads = 0);
  /// A model that others compute, of any architecture.
  static std::shared_ptr<const Model> create(const ModelConfig& config, NewLogitSource source,
                                             std::shared_ptr<const Tokenizer> tokenizer);
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  /// A new, empty stream. Fails on sampling outside its ranges.
  [[nodiscard]] Session session(const Sampling& sampling = {}) const;
  /// The session that `Session::save` wrote.
  [[nodiscard]] Session restore(const Path& session) const;
  /// What the model is; `sequence` is the trained length, `vocab` the number of tokens.
  [[nodiscard]] const ModelConfig& config() const { return config_; }
  /// The tokenizer that came with the checkpoint; null if there was none.
  [[nodiscard]] const std::shared_ptr<const Tokenizer>& tokenizer() const { return tokenizer_; }

  /// For sessions. One session at a time has the threads; another meanwhile works with its own thread alone.
  [[nodiscard]] std::unique_ptr<runtime::LogitSource> new_source() const;

 private:
  Model(const ModelConfig& config, NewLogitSource source, std::shared_ptr<const Tokenizer> tokenizer);
  static std::shared_ptr<const Model> create(std::shared_ptr<const runtime::Weights> weights,
                                             std::shared_ptr<const Tokenizer> tokenizer, int threads);

  ModelConfig config_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  NewLogitSource new_source_;
};

}  // namespace ecp
