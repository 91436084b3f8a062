#include "ecp/runtime/session.h"

#include <algorithm>
#include <utility>

#include "ecp/base/error.h"
#include "ecp/runtime/cached_source.h"
#include "ecp/runtime/generation.h"
#include "ecp/runtime/logit_source.h"
#include "ecp/runtime/model.h"
#include "ecp/runtime/sampler.h"
#include "ecp/runtime/session_file.h"

namespace ecp {

using runtime::LogitSource;

struct Session::State {
  State(std::shared_ptr<const Model> of, const Sampling& sampling)
      : model(std::move(of)),
        source(model->new_source()),
        generation(model->tokenizer(), sampling, source->history()) {}
  State(const State& other, std::unique_ptr<LogitSource> forked)
      : model(other.model),
        source(std::move(forked)),
        logits(other.logits),
        logits_valid(other.logits_valid),
        pending(other.pending),
        generation(other.generation) {}
  /// As it stood in a file.
  State(std::shared_ptr<const Model> of, std::unique_ptr<LogitSource> restored, runtime::SessionState saved)
      : model(std::move(of)),
        source(std::move(restored)),
        logits(std::move(saved.logits)),
        logits_valid(!logits.empty()),
        pending(saved.pending),
        generation(model->tokenizer(), std::move(saved.generation), source->history()) {}

  /// Feeds the token that was drawn but not yet seen.
  void settle();
  /// Feeds that token, and then `tokens`.
  void feed(std::span<const Token> tokens, LogitSource::Rows wanted, std::vector<float>& out);
  [[nodiscard]] bool is_over() const { return generation.finish() != Finish::none; }
  [[nodiscard]] const Tokenizer& tokenizer() const;
  [[nodiscard]] Token first_token() const;
  /// Sees to it that there are logits to draw from.
  void prepare();
  Generated draw(bool with_text);

  std::shared_ptr<const Model> model;
  std::unique_ptr<LogitSource> source;
  std::vector<float> logits;  // of the last row, while `logits_valid`
  bool logits_valid = false;
  std::optional<Token> pending;  // drawn, not yet seen by the model
  runtime::Generation generation;
};

void Session::State::settle() {
  if (!pending) return;
  const Token token = *pending;
  source->forward(std::span(&token, 1), LogitSource::Rows::last, logits);
  pending.reset();
  logits_valid = true;
}

void Session::State::feed(std::span<const Token> tokens, LogitSource::Rows wanted, std::vector<float>& out) {
  settle();
  if (tokens.empty()) return;
  source->forward(tokens, wanted, out);
  generation.remember(tokens);
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

void Session::State::prepare() {
  settle();
  if (logits_valid) return;
  const Token token = first_token();
  feed(std::span(&token, 1), LogitSource::Rows::last, logits);
  logits_valid = true;
}

Generated Session::State::draw(bool with_text) {
  prepare();
  Generated drawn = generation.draw(logits, static_cast<std::uint64_t>(source->rows()), with_text);
  logits_valid = false;
  pending = drawn.token;
  return drawn;
}

Session::Session(std::shared_ptr<const Model> model, const Sampling& sampling)
    : state_(std::make_unique<State>(std::move(model), sampling)) {}

Session::Session(std::unique_ptr<State> state) : state_(std::move(state)) {}

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
  state_->generation.begin();
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

std::vector<Generated> Session::score(std::span<const Token> tokens) {
  constexpr std::size_t part = 256;  // rows whose logits are kept
  State& state = *state_;
  state.settle();
  const std::int64_t top = std::max<std::int64_t>(0, state.generation.sampling().logprobs);
  const auto vocab = static_cast<std::size_t>(state.model->config().vocab);
  const std::size_t choices = state.model->tokenizer() != nullptr
                                  ? static_cast<std::size_t>(state.model->tokenizer()->vocab_size())
                                  : vocab;
  std::vector<Generated> scored;
  std::vector<float> logits;
  for (std::size_t begin = 0; begin < tokens.size(); begin += part) {
    const auto these = tokens.subspan(begin, std::min(part, tokens.size() - begin));
    // What comes before the first of these was computed before.
    const std::vector<float> before = state.logits_valid ? state.logits : std::vector<float>();
    state.feed(these, LogitSource::Rows::all, logits);
    for (std::size_t i = 0; i < these.size(); ++i) {
      Generated& token = scored.emplace_back();
      token.token = these[i];
      const float* row = i > 0 ? logits.data() + (i - 1) * vocab : before.empty() ? nullptr : before.data();
      if (row != nullptr && token.token < choices) {
        runtime::tell_probabilities({row, choices}, top, token);
      }
    }
    state.logits.assign(logits.end() - static_cast<std::ptrdiff_t>(vocab), logits.end());
    state.logits_valid = true;
  }
  state.generation.begin();
  return scored;
}

std::optional<Generated> Session::step() {
  if (state_->is_over()) return std::nullopt;
  static_cast<void>(state_->tokenizer());  // text needs one
  return state_->draw(true);
}

std::optional<Token> Session::next_token() {
  if (state_->is_over()) return std::nullopt;
  const Generated drawn = state_->draw(false);
  if (drawn.finish == Finish::stop) return std::nullopt;
  return drawn.token;
}

std::optional<std::string> Session::next() {
  while (auto drawn = step()) {
    if (!drawn->text.empty()) return std::move(drawn->text);
  }
  return std::nullopt;
}

void Session::prepare(std::span<Session* const> sessions) {
  std::vector<runtime::CachedSource*> sources;
  std::vector<Token> tokens;
  std::vector<State*> states;
  for (Session* session : sessions) {
    State& state = *session->state_;
    if (state.is_over()) continue;
    auto* source = dynamic_cast<runtime::CachedSource*>(state.source.get());
    if (source == nullptr || !state.pending) {
      state.prepare();
      continue;
    }
    sources.push_back(source);
    tokens.push_back(*state.pending);
    states.push_back(&state);
  }
  std::vector<float> logits;
  runtime::CachedSource::step(sources, tokens, logits);
  for (std::size_t i = 0; i < states.size(); ++i) {
    const auto vocab = static_cast<std::ptrdiff_t>(states[i]->model->config().vocab);
    const auto row = logits.begin() + static_cast<std::ptrdiff_t>(i) * vocab;
    states[i]->logits.assign(row, row + vocab);
    states[i]->logits_valid = true;
    states[i]->pending.reset();
  }
}

Session Session::fork() const { return Session(std::make_unique<State>(*state_, state_->source->fork())); }

namespace {

std::string hash_of(const std::shared_ptr<const Tokenizer>& tokenizer) {
  return tokenizer == nullptr ? std::string() : tokenizer->hash();
}

runtime::CachedSource& cached(LogitSource& source) {
  auto* const found = dynamic_cast<runtime::CachedSource*>(&source);
  require(found != nullptr,
          "this model's window is computed anew for each token: its sessions can't be saved");
  return *found;
}

/// Fails unless a session can go on from what `file` says, which the model with this `vocab` has written.
void check_state(const runtime::SessionState& state, std::uint64_t most_rewind, std::int64_t vocab,
                 const std::string& file) {
  const auto known = [&](Token token) { return static_cast<std::int64_t>(token) < vocab; };
  const auto& history = state.generation.history;
  const std::uint64_t position = static_cast<std::uint64_t>(state.rows) + (state.pending ? 1 : 0);
  const bool logits_fit =
      state.logits.empty() || (std::ssize(state.logits) == vocab && !state.pending && state.rows > 0);
  require(logits_fit, "{}: logits: expected {}, got {}", file, vocab, state.logits.size());
  require(std::all_of(history.begin(), history.end(), known), "{}: history: expected tokens below {}", file,
          vocab);
  require(history.size() >= std::min(position, most_rewind + 1) &&
              (!state.pending || (known(*state.pending) && history.back() == *state.pending)),
          "{}: history: expected the stream's last tokens", file);
}

}  // namespace

void Session::save(const Path& path) const {
  const State& state = *state_;
  runtime::CachedSource& source = cached(*state.source);
  runtime::StreamCache& stream = source.stream();
  runtime::SessionState saved{source.decoders().hash(),
                              hash_of(state.model->tokenizer()),
                              stream.rows(),
                              stream.written(),
                              state.pending,
                              {},
                              state.generation.state()};
  if (state.logits_valid) saved.logits = state.logits;
  runtime::write_session(path, saved, stream, source.decoders().layout(), state.model->config());
}

Session Session::restore(std::shared_ptr<const Model> model, const Path& path) {
  auto source = model->new_source();
  runtime::CachedSource& into = cached(*source);
  const runtime::SessionFile file(path);
  runtime::SessionState saved = file.state();
  require(saved.model == into.decoders().hash() && saved.tokenizer == hash_of(model->tokenizer()),
          "'{}': a session of another model, or of this one with other weights", path.string());
  file.read_cache(into.stream(), into.decoders().layout(), model->config());
  auto state = std::make_unique<State>(model, std::move(source), std::move(saved));
  Session session(std::move(state));
  check_state(file.state(), session.most_rewind(), model->config().vocab, path.string());
  return session;
}

std::uint64_t Session::most_rewind() const {
  const State& state = *state_;
  const std::int64_t rows = state.source->rows(), most = state.source->most_rewind();
  if (most == rows) return position();
  // The token before those is seen once more, for its logits.
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, most - 1)) + (state.pending ? 1 : 0);
}

void Session::rewind(std::uint64_t tokens) {
  State& state = *state_;
  const std::uint64_t most = most_rewind(), before = position();
  require(tokens <= most, "rewind: expected at most {} tokens, which is what this stream still has, got {}",
          most, tokens);
  if (tokens > 0) {
    const auto rows = static_cast<std::uint64_t>(state.source->rows()), left = before - tokens;
    state.source->rewind(static_cast<std::int64_t>(left == 0 ? rows : rows - (left - 1)));
    state.generation.forget(tokens);
    state.logits_valid = false;
    state.pending.reset();
    if (left > 0) state.pending = state.generation.last();
  }
  state.generation.begin();
}

void Session::set_sampling(const Sampling& sampling) { state_->generation.set_sampling(sampling); }

const Sampling& Session::sampling() const { return state_->generation.sampling(); }

Finish Session::finish() const { return state_->generation.finish(); }

std::uint64_t Session::position() const {
  return static_cast<std::uint64_t>(state_->source->rows()) + (state_->pending ? 1 : 0);
}

std::uint64_t Session::generated() const { return state_->generation.generated(); }

bool Session::beyond_trained_length() const { return state_->source->beyond_trained_length(); }

std::uint64_t Session::cache_bytes() const { return state_->source->cache_bytes(); }

}  // namespace ecp
