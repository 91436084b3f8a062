#include "ecp/runtime/generation.h"

#include <algorithm>

#include "ecp/base/random.h"
#include "ecp/runtime/sampler.h"

namespace ecp::runtime {

Generation::Generation(std::shared_ptr<const Tokenizer> tokenizer, const Sampling& sampling,
                       std::int64_t history)
    : tokenizer_(std::move(tokenizer)), kept_(history), stops_({}) {
  set_sampling(sampling);
}

Generation::Generation(std::shared_ptr<const Tokenizer> tokenizer, GenerationState state,
                       std::int64_t history)
    : Generation(std::move(tokenizer), state.sampling, history) {
  history_ = std::move(state.history);
  counts_ = std::move(state.counts);
  generated_ = state.generated;
  since_prompt_ = state.since_prompt;
  finish_ = state.finish;
  characters_.push(state.character);
  stops_ = StopMatcher(sampling_.stop, std::move(state.held), state.stopped);
}

GenerationState Generation::state() const {
  return {sampling_,     history_,        counts_, generated_, since_prompt_, finish_, characters_.pending(),
          stops_.held(), stops_.stopped()};
}

void Generation::set_sampling(const Sampling& sampling) {
  sampling.validate();
  sampling_ = sampling;
  begin();
}

void Generation::begin() {
  since_prompt_ = 0;
  counts_.clear();
  finish_ = sampling_.max_tokens == 0 ? Finish::length : Finish::none;
  characters_ = {};
  stops_ = StopMatcher(sampling_.stop);
}

void Generation::remember(std::span<const Token> tokens) {
  for (const Token token : tokens) remember(token);
}

void Generation::remember(Token token) {
  const auto kept = static_cast<std::uint64_t>(std::max(kept_, sampling_.repetition_window));
  if (kept_ >= 0 && history_.size() >= kept && history_.size() - kept >= kept) {
    history_.erase(history_.begin(), history_.end() - static_cast<std::ptrdiff_t>(kept));
  }
  history_.push_back(token);
}

void Generation::forget(std::uint64_t tokens) {
  history_.resize(history_.size() - std::min<std::uint64_t>(tokens, history_.size()));
}

Generated Generation::draw(std::span<float> logits, std::uint64_t rows, bool with_text) {
  const Sampling& how = sampling_;
  std::span<float> choices = logits;
  if (tokenizer_ != nullptr) choices = choices.first(static_cast<std::size_t>(tokenizer_->vocab_size()));
  std::vector<float> model;  // what it says itself
  if (how.logprobs >= 0) model.assign(choices.begin(), choices.end());

  add_bias(choices, how.logit_bias);
  penalize_counts(choices, counts_, how.presence_penalty, how.frequency_penalty);
  std::span<const Token> last = history_;
  const auto window = static_cast<std::uint64_t>(how.repetition_window);
  if (last.size() > window) last = last.last(window);
  Generated drawn;
  drawn.token = sample(choices, how, last, random_uniform(how.seed, rows));
  if (how.logprobs >= 0) tell_probabilities(model, how.logprobs, drawn);

  remember(drawn.token);
  if (how.presence_penalty != 0 || how.frequency_penalty != 0) ++counts_[drawn.token];
  ++generated_;
  ++since_prompt_;
  const bool ends = tokenizer_ != nullptr && tokenizer_->end_of_text() == drawn.token;
  if (ends && !how.ignore_end_of_text) finish_ = Finish::stop;
  if (with_text && finish_ == Finish::none) drawn.text = text_of(drawn.token);
  if (stops_.stopped()) finish_ = Finish::stop;
  if (finish_ == Finish::none && since_prompt_ == how.max_tokens) finish_ = Finish::length;
  if (with_text && finish_ != Finish::none) {
    drawn.text += stops_.push(characters_.finish());
    drawn.text += stops_.finish();
  }
  drawn.finish = finish_;
  return drawn;
}

std::string Generation::text_of(Token token) {
  if (tokenizer_->end_of_text() == token) {
    return stops_.push(characters_.finish() + sampling_.document_break);
  }
  return stops_.push(characters_.push(tokenizer_->bytes_of(token)));
}

}  // namespace ecp::runtime
