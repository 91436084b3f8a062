// Inference without LibTorch: a model read from a checkpoint, shared by any number of sessions.
//
//   auto model = ecp::Model::load("runs/austen");
//   auto session = model->session({.temperature = 0.8f, .seed = 1});
//   session.prompt("It is a truth");
//   while (auto piece = session.next()) std::cout << *piece << std::flush;
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ecp/base/files.h"
#include "ecp/config/model_config.h"
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
  std::vector<std::string> stop;    // generation ends before the first of these strings
  std::int64_t max_tokens = 256;    // −1: no end
  bool ignore_end_of_text = false;  // generate on past the end of a document

  /// Fails on values outside their ranges (temperature < 0 or not finite, top_p outside (0, 1], ...).
  void validate() const;
};

class Session;

class Model : public std::enable_shared_from_this<Model> {
 public:
  /// From a checkpoint or run folder; verified. `threads` 0: all available CPUs.
  static std::shared_ptr<const Model> load(const Path& path, int threads = 0);
  /// From weights in memory (the trainer's samples); copies what it needs.
  static std::shared_ptr<const Model> create(const ModelConfig& config, std::span<const NamedTensor> weights,
                                             std::shared_ptr<const Tokenizer> tokenizer, int threads = 0);
  virtual ~Model() = default;

  [[nodiscard]] Session session(const Sampling& sampling = {}) const;
  [[nodiscard]] virtual const ModelConfig& config() const = 0;
  [[nodiscard]] virtual const std::shared_ptr<const Tokenizer>& tokenizer() const = 0;

 protected:
  Model() = default;
};

/// Rows of one stream: what the model has seen, and the caches that let it go on. One thread at a time.
class Session {
 public:
  Session(std::shared_ptr<const Model> model, Sampling sampling);
  ~Session();
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;

  /// Appends text or tokens to what the model has seen (chunked prefill).
  void prompt(std::string_view text);
  void prompt(std::span<const Token> tokens);
  /// The next piece of text: whole UTF-8 characters, never part of a stop string; nothing at the end.
  std::optional<std::string> next();
  /// Feeds `tokens` and returns their logits, [tokens.size(), vocab] row-major; logits[i] predicts the token
  /// after tokens[i]. The building block of `next`, scoring and tests.
  std::vector<float> forward(std::span<const Token> tokens);

  /// Tokens seen so far, prompt and generated.
  [[nodiscard]] std::uint64_t position() const;
  /// Tokens generated so far by `next`.
  [[nodiscard]] std::uint64_t generated() const;
  /// Bytes of this session's caches.
  [[nodiscard]] std::uint64_t cache_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ecp
