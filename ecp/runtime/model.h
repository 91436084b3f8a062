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
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ecp/base/files.h"
#include "ecp/config/model_config.h"
#include "ecp/runtime/logit_source.h"
#include "ecp/text/tokenizer.h"
#include "ecp/weights/safetensors.h"

namespace ecp {

struct Sampling {
  float temperature = 0.8f;         // 0: always the most probable token
  std::int64_t top_k = 0;           // 0: off
  float top_p = 1.0f;               // 1: off
  float min_p = 0.0f;               // 0: off
  float repetition_penalty = 1.0f;  // 1: off; over the last `repetition_window` tokens
  std::int64_t repetition_window = 256;
  std::uint64_t seed = 1;
  std::vector<std::string> stop = {};   // generation ends before the first of these strings
  std::int64_t max_tokens = 256;        // −1: no end
  bool ignore_end_of_text = false;      // generate on past the end of a document
  std::string document_break = "\n\n";  // what `next` gives for an end of text that it goes on past

  /// Fails on values outside their ranges (temperature < 0 or not finite, top_p outside (0, 1], ...).
  void validate() const;
};

class Checkpoint;
class Session;
namespace runtime {
class LogitSource;
class Weights;
}  // namespace runtime

/// Makes the source of one session's logits.
using NewLogitSource = std::function<std::unique_ptr<runtime::LogitSource>()>;

class Model : public std::enable_shared_from_this<Model> {
 public:
  /// From a checkpoint or run folder; verified. `threads` 0: all available CPUs. Fails for models without a
  /// cache (of latents), which libecp can't compute.
  static std::shared_ptr<const Model> load(const Path& path, int threads = 0);
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

  [[nodiscard]] Session session(const Sampling& sampling = {}) const;
  [[nodiscard]] const ModelConfig& config() const { return config_; }
  [[nodiscard]] const std::shared_ptr<const Tokenizer>& tokenizer() const { return tokenizer_; }

  /// For sessions. One session at a time has the threads; another meanwhile works with its own thread alone.
  [[nodiscard]] std::unique_ptr<runtime::LogitSource> new_source() const { return new_source_(); }

 private:
  Model(const ModelConfig& config, NewLogitSource source, std::shared_ptr<const Tokenizer> tokenizer);
  static std::shared_ptr<const Model> create(std::shared_ptr<const runtime::Weights> weights,
                                             std::shared_ptr<const Tokenizer> tokenizer, int threads);

  ModelConfig config_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  NewLogitSource new_source_;
};

/// Rows of one stream: what the model has seen, and the caches that let it go on. One thread at a time.
class Session {
 public:
  Session(std::shared_ptr<const Model> model, Sampling sampling);
  ~Session();
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;

  /// Appends text or tokens to what the model has seen (chunked prefill). After it `next` may give
  /// `max_tokens` more.
  void prompt(std::string_view text);
  void prompt(std::span<const Token> tokens);
  /// The next piece of text: whole UTF-8 characters, never part of a stop string, as soon as it is certain;
  /// nothing at the end. Without a prompt it starts a document: after an end of text, or after a line end if
  /// the tokenizer has no such token. Fails if the logits are not finite.
  std::optional<std::string> next();
  /// The next token alone, without text and stop strings; nothing at the end. Not to be mixed with `next`.
  std::optional<Token> next_token();
  /// Feeds `tokens` and returns their logits, [tokens.size(), vocab] row-major; logits[i] predicts the token
  /// after tokens[i]. The building block of `next`, scoring and tests.
  std::vector<float> forward(std::span<const Token> tokens);

  /// Tokens seen so far, prompt and generated.
  [[nodiscard]] std::uint64_t position() const;
  /// Tokens generated so far by `next`.
  [[nodiscard]] std::uint64_t generated() const;
  /// True once the model has seen more than its trained length and its values carry positions: those are then
  /// held at the last trained block's, and the text may suffer.
  [[nodiscard]] bool beyond_trained_length() const;
  /// Bytes of this session's caches.
  [[nodiscard]] std::uint64_t cache_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ecp
