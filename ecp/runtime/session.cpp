#include <algorithm>
#include <utility>

#include "ecp/base/error.h"
#include "ecp/base/random.h"
#include "ecp/runtime/logit_source.h"
#include "ecp/runtime/model.h"
#include "ecp/runtime/sampler.h"
#include "ecp/runtime/text_stream.h"

namespace ecp {

using runtime::LogitSource;

struct Session::State {
  State(std::shared_ptr<const Model> of, Sampling how)
      : model(std::move(of)), sampling(std::move(how)), source(model->new_source()), stops(sampling.stop) {}

  /// Feeds the token that was drawn but not yet seen, and then `tokens`.
  void feed(std::span<const Token> tokens, LogitSource::Rows wanted, std::vector<float>& out);
  /// Remembers `token` for the repetition penalty.
  void remember(Token token);
  [[nodiscard]] const Tokenizer& tokenizer() const;
  [[nodiscard]] Token first_token() const;
  std::optional<Token> draw();

  std::shared_ptr<const Model> model;
  Sampling sampling;
  std::unique_ptr<LogitSource> source;
  std::vector<float> logits;  // of the last row, while `logits_valid`
  bool logits_valid = false;
  std::optional<Token> pending;  // drawn, not yet seen by the model
  std::vector<Token> recent;     // the last tokens, at most twice the repetition window
  std::uint64_t generated = 0;   // in all
  std::int64_t since_prompt = 0;
  bool ended = false;   // no more tokens
  bool silent = false;  // no more text
  runtime::Utf8Assembler characters;
  runtime::StopMatcher stops;
};

void Session::State::feed(std::span<const Token> tokens, LogitSource::Rows wanted, std::vector<float>& out) {
  if (pending) {
    const Token token = *pending;
    source->forward(std::span(&token, 1), LogitSource::Rows::last, logits);
    pending.reset();
    logits_valid = true;
  }
  if (tokens.empty()) return;
  source->forward(tokens, wanted, out);
  for (const Token token : tokens) remember(token);
}

void Session::State::remember(Token token) {
  if (sampling.repetition_penalty == 1 || sampling.repetition_window == 0) return;
  const auto window = static_cast<std::uint64_t>(sampling.repetition_window);
  if (recent.size() >= window && recent.size() - window >= window) {
    recent.erase(recent.begin(), recent.end() - static_cast<std::ptrdiff_t>(window));
  }
  recent.push_back(token);
}

const Tokenizer& Session::State::tokenizer() const {
  require(model->tokenizer() != nullptr, "this model has no tokenizer: expected tokens, got text");
  return *model->tokenizer();
}

Token Session::State::first_token() const {
  if (const auto end = tokenizer().end_of_text()) return *end;
  const std::vector<Token> line_end = tokenizer().encode("\n");
  require(!line_end.empty(), "a prompt is needed: the tokenizer has neither an end of text nor a line end");
  return line_end.front();
}

std::optional<Token> Session::State::draw() {
  if (ended || (sampling.max_tokens >= 0 && since_prompt >= sampling.max_tokens)) return std::nullopt;
  feed({}, LogitSource::Rows::last, logits);
  if (!logits_valid) {
    const Token token = first_token();
    feed(std::span(&token, 1), LogitSource::Rows::last, logits);
    logits_valid = true;
  }
  std::span<float> choices = logits;
  if (model->tokenizer() != nullptr) {
    choices = choices.first(static_cast<std::size_t>(model->tokenizer()->vocab_size()));
  }
  std::span<const Token> last = recent;
  const auto window = static_cast<std::uint64_t>(sampling.repetition_window);
  if (last.size() > window) last = last.last(window);
  const double uniform = random_uniform(sampling.seed, static_cast<std::uint64_t>(source->rows()));
  const Token token = runtime::sample(choices, sampling, last, uniform);
  logits_valid = false;
  pending = token;
  remember(token);
  ++generated;
  ++since_prompt;
  if (!sampling.ignore_end_of_text && model->tokenizer() != nullptr &&
      model->tokenizer()->end_of_text() == token) {
    ended = true;
    return std::nullopt;
  }
  return token;
}

Session::Session(std::shared_ptr<const Model> model, Sampling sampling) {
  sampling.validate();
  state_ = std::make_unique<State>(std::move(model), std::move(sampling));
}

Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

void Session::prompt(std::string_view text) {
  std::vector<Token> tokens;
  const Tokenizer& tokenizer = state_->tokenizer();
  position() > 0 ? tokenizer.encode_more(text, tokens) : tokenizer.encode(text, tokens);
  prompt(tokens);
}

void Session::prompt(std::span<const Token> tokens) {
  state_->feed(tokens, LogitSource::Rows::last, state_->logits);
  if (!tokens.empty()) state_->logits_valid = true;
  state_->since_prompt = 0;
  state_->ended = state_->silent = false;
  state_->characters = {};
  state_->stops = runtime::StopMatcher(state_->sampling.stop);
}

std::vector<float> Session::forward(std::span<const Token> tokens) {
  std::vector<float> all;
  state_->feed(tokens, LogitSource::Rows::all, all);
  if (!tokens.empty()) {
    const auto vocab = static_cast<std::ptrdiff_t>(state_->model->config().vocab);
    state_->logits.assign(all.end() - vocab, all.end());
    state_->logits_valid = true;
  }
  return all;
}

std::optional<Token> Session::next_token() { return state_->draw(); }

std::optional<std::string> Session::next() {
  State& state = *state_;
  const Tokenizer& tokenizer = state.tokenizer();
  while (!state.silent) {
    const std::optional<Token> token = state.draw();
    std::string text;
    if (!token) {
      text = state.stops.push(state.characters.finish());
      text += state.stops.finish();
    } else if (tokenizer.end_of_text() == token) {
      text = state.stops.push(state.characters.finish() + state.sampling.document_break);
    } else {
      text = state.stops.push(state.characters.push(tokenizer.bytes_of(*token)));
    }
    state.silent = !token || state.stops.stopped();
    if (!text.empty()) return text;
  }
  return std::nullopt;
}

std::uint64_t Session::position() const {
  return static_cast<std::uint64_t>(state_->source->rows()) + (state_->pending ? 1 : 0);
}

std::uint64_t Session::generated() const { return state_->generated; }

bool Session::beyond_trained_length() const { return state_->source->beyond_trained_length(); }

std::uint64_t Session::cache_bytes() const { return state_->source->cache_bytes(); }

}  // namespace ecp
