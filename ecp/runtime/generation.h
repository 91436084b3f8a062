// One stream's way from logits to tokens and text: what was said, what may be said next, when it is over.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "ecp/runtime/sampling.h"
#include "ecp/runtime/session_state.h"
#include "ecp/runtime/text_stream.h"
#include "ecp/text/tokenizer.h"

namespace ecp::runtime {

class Generation {
 public:
  /// `tokenizer` may be null: then tokens only. The last `history` tokens are kept, −1: all.
  Generation(std::shared_ptr<const Tokenizer> tokenizer, const Sampling& sampling, std::int64_t history);

  /// Goes on from where another stood.
  Generation(std::shared_ptr<const Tokenizer> tokenizer, GenerationState state, std::int64_t history);
  [[nodiscard]] GenerationState state() const;

  [[nodiscard]] const Sampling& sampling() const { return sampling_; }
  void set_sampling(const Sampling& sampling);
  /// Begins anew after a prompt: up to `max_tokens` more, no text held back.
  void begin();
  /// Tokens that the stream was given.
  void remember(std::span<const Token> tokens);
  /// The last token; there is one.
  [[nodiscard]] Token last() const { return history_.back(); }
  /// Forgets the last `tokens`, at most those that are kept.
  void forget(std::uint64_t tokens);

  /// The next token, whose row comes after `rows` others, by their logits [V], which are changed. Without
  /// `with_text` stop strings don't count.
  Generated draw(std::span<float> logits, std::uint64_t rows, bool with_text);
  [[nodiscard]] Finish finish() const { return finish_; }
  /// Tokens drawn, in all.
  [[nodiscard]] std::uint64_t generated() const { return generated_; }

 private:
  /// The text that `token` makes certain.
  std::string text_of(Token token);
  void remember(Token token);

  std::shared_ptr<const Tokenizer> tokenizer_;
  Sampling sampling_;
  std::int64_t kept_;
  std::vector<Token> history_;                      // the last tokens, at most twice as many as are wanted
  std::unordered_map<Token, std::int64_t> counts_;  // of tokens since the prompt, if they are penalised
  std::uint64_t generated_ = 0;
  std::int64_t since_prompt_ = 0;
  Finish finish_ = Finish::none;
  Utf8Assembler characters_;
  StopMatcher stops_;
};

}  // namespace ecp::runtime
