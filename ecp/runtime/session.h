// A stream of text: what the model has seen, and what it says next.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ecp/base/path.h"
#include "ecp/runtime/sampling.h"
#include "ecp/text/tokenizer.h"

namespace ecp {

class Model;

/// Rows of one stream: what the model has seen, and the caches that let it go on. One thread at a time.
class Session {
 public:
  /// What `Model::session` gives.
  Session(std::shared_ptr<const Model> model, const Sampling& sampling);
  ~Session();
  Session(Session&&) noexcept;             ///< The other one can only be assigned to or destroyed.
  Session& operator=(Session&&) noexcept;  ///< The same.

  /// Appends text or tokens to what the model has seen (chunked prefill). After it `next` may give
  /// `max_tokens` more.
  void prompt(std::string_view text);
  void prompt(std::span<const Token> tokens);  ///< Fails on tokens that the model doesn't have.
  /// The next piece of text: whole UTF-8 characters, never part of a stop string, as soon as it is certain;
  /// nothing at the end. Without a prompt it starts a document: after an end of text, or after a line end if
  /// the tokenizer has no such token. Fails if the logits are not finite.
  std::optional<std::string> next();
  /// One token more and the text that it makes certain; nothing at the end. The building block of `next`, for
  /// those who want to know of each token.
  std::optional<Generated> step();
  /// The next token alone, without text and stop strings; nothing at the end. Not to be mixed with `next`.
  std::optional<Token> next_token();
  /// Feeds `tokens` and returns their logits, [tokens.size(), vocab] row-major; logits[i] predicts the token
  /// after tokens[i]. For tests and short inputs: `score` doesn't keep them.
  std::vector<float> forward(std::span<const Token> tokens);
  /// Appends `tokens` as `prompt` does and tells how probable each was after those before it, and, if the
  /// sampling asks for them, what was most probable. Of the first token of a stream nothing is known: its
  /// logprob is 0 and it has no alternatives.
  std::vector<Generated> score(std::span<const Token> tokens);

  /// Makes what `step`, `next` or `next_token` of each session needs, for all of them together: the weights
  /// are read once. Each then gives what it would have given alone, bit for bit. Sessions are of one model,
  /// and each stands there once; those that need nothing are left as they are.
  static void prepare(std::span<Session* const> sessions);

  /// Another session that goes on from here, with its own sampling from the next token on.
  [[nodiscard]] Session fork() const;
  /// The session that `save` wrote. Fails, naming the file, if it is damaged or of another model.
  static Session restore(std::shared_ptr<const Model> model, const Path& path);
  /// Tokens that can be taken back. An endless stream keeps no more than its next rows can see, so these are
  /// few at worst; a stream that keeps everything can go back to its beginning.
  [[nodiscard]] std::uint64_t most_rewind() const;
  /// Takes the last `tokens` back, as if they hadn't been seen. As after a prompt, `next` may then give
  /// `max_tokens` more. Fails if they are more than `most_rewind`.
  void rewind(std::uint64_t tokens);
  /// Writes everything that is needed to go on later (`restore`), in this program or another, as if
  /// nothing had been between: caches, what was drawn, held back and counted, the sampling (docs/formats.md).
  void save(const Path& path) const;
  /// How tokens are chosen from the next one on, as after a prompt.
  void set_sampling(const Sampling& sampling);
  [[nodiscard]] const Sampling& sampling() const;  ///< How tokens are chosen now.

  /// Tokens seen so far, prompt and generated.
  [[nodiscard]] std::uint64_t position() const;
  /// Tokens generated so far by `next`.
  [[nodiscard]] std::uint64_t generated() const;
  /// Why there is nothing more; none while there is.
  [[nodiscard]] Finish finish() const;
  /// True once the model has seen more than its trained length and its values carry positions: those are then
  /// held at the last trained block's, and the text may suffer.
  [[nodiscard]] bool beyond_trained_length() const;
  /// Bytes of this session's caches.
  [[nodiscard]] std::uint64_t cache_bytes() const;

 private:
  struct State;
  explicit Session(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ecp
