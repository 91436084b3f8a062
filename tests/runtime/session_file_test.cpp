// Sessions in files: saved, restored, and going on as if nothing had been between.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "cycle_model.h"
#include "ecp/base/error.h"
#include "ecp/runtime/session_file.h"
#include "forward_cases.h"
#include "tests/support/damage.h"
#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"

namespace ecp {
namespace {

using test::error_of;
using test::TemporaryFolder;
using testing::HasSubstr;

class Saved : public testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(Models, Saved, testing::ValuesIn(cases()),
                         [](const auto& test) { return test.param.name; });

Sampling lively(std::int64_t tokens) {
  Sampling sampling;
  sampling.temperature = 1;
  sampling.seed = 5;
  sampling.max_tokens = tokens;
  sampling.repetition_penalty = 1.1f;
  sampling.presence_penalty = 0.25f;
  sampling.frequency_penalty = 0.5f;
  sampling.logit_bias = {{3, 0.5f}};
  return sampling;
}

std::vector<Token> rest(Session& session) {
  std::vector<Token> tokens;
  while (const auto token = session.next_token()) tokens.push_back(*token);
  return tokens;
}

TEST_P(Saved, GoesOnAsIfNothingHadBeenBetween) {
  const auto& [name, config, count] = GetParam();
  const TemporaryFolder folder;
  const auto weights = random_weights(config, 1);
  const auto model = build(config, *weights);
  const Path file = folder / "session.safetensors";
  const auto expect_same = [&](const Session& session) {
    session.save(file);
    Session original = session.fork(), restored = build(config, *weights, 1)->restore(file);
    EXPECT_EQ(restored.position(), original.position());
    EXPECT_EQ(restored.generated(), original.generated());
    EXPECT_EQ(restored.most_rewind(), original.most_rewind());
    EXPECT_EQ(restored.finish(), original.finish());
    if (const std::uint64_t most = original.most_rewind(); most > 1) {
      Session back = original.fork(), restored_back = restored.fork();
      back.rewind(most - 1);
      restored_back.rewind(most - 1);
      EXPECT_EQ(rest(restored_back), rest(back));
    }
    EXPECT_EQ(rest(restored), rest(original));
  };
  Session session = model->session(lively(45));
  session.prompt(random_tokens(count / 2, config.vocab, 2));
  expect_same(session);
  for (int i = 0; i < 20; ++i) session.next_token();
  expect_same(session);
  if (session.most_rewind() > 2) session.rewind(2);
  expect_same(session);
  rest(session);
  expect_same(session);  // over
}

TEST(SessionFileTest, TextThatWasHeldBackIsKept) {
  const TemporaryFolder folder;
  const Path file = folder / "session.safetensors";
  const auto model = saying("ab\xF0\x9F\x98\x80st", Token{256});
  const auto all = [](Session& session) {
    std::string text;
    while (const auto piece = session.next()) text += *piece;
    return text;
  };
  Sampling sampling{.stop = {"stopped", "opp"}, .max_tokens = 14, .ignore_end_of_text = true};
  Session session = model->session(sampling);
  session.save(file);
  Session empty = model->restore(file);
  EXPECT_EQ(empty.position(), 0u);
  empty.prompt("a");
  session.prompt("a");
  Session first = session.fork();
  EXPECT_EQ(all(empty), all(first));
  for (int step = 0; step < 14; ++step) {  // in the midst of characters and of beginnings of stop strings
    session.save(file);
    Session restored = model->restore(file), fork = session.fork();
    EXPECT_EQ(restored.sampling().stop, sampling.stop);
    EXPECT_EQ(all(restored), all(fork)) << "after " << step;
    EXPECT_EQ(restored.finish(), fork.finish());
    if (!session.step()) break;
  }
}

TEST(SessionFileTest, OtherModelsAreRefused) {
  const TemporaryFolder folder;
  const Path file = folder / "session.safetensors";
  const auto config = small("ecp", "modern");
  const auto weights = random_weights(config, 1), others = random_weights(config, 2);
  const auto model = build(config, *weights);
  Session session = model->session();
  session.prompt(random_tokens(7, config.vocab, 1));
  session.save(file);
  EXPECT_THAT(error_of([&] { (void)build(config, *others)->restore(file); }), HasSubstr("another model"));
  ModelConfig longer = config;
  longer.sequence += 1;
  EXPECT_THAT(error_of([&] { (void)build(longer, *weights)->restore(file); }), HasSubstr("another model"));
  EXPECT_THAT(error_of([&] { (void)model->restore(folder / "absent"); }), HasSubstr("absent"));
  EXPECT_THAT(error_of([&] { session.save(folder / "no" / "folder"); }), HasSubstr("no/folder"));
}

TEST(SessionFileTest, DamageIsFound) {
  const TemporaryFolder folder;
  const Path file = folder / "session.safetensors";
  auto config = small("ecp", "modern");
  config.dim = 8;
  config.block = 2;
  const auto weights = random_weights(config, 1);
  const auto model = build(config, *weights);
  Session session = model->session(lively(10));
  session.prompt(random_tokens(3, config.vocab, 1));
  session.next_token();
  session.save(file);
  const std::string whole = read_file(file);
  std::size_t refused = 0, unchanged = 0;
  for (std::size_t at = 0; at < whole.size(); at += 3) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ (1 << (at % 8)));
    test::overwrite(file, changed);
    try {
      // What alignment leaves between header and data may be anything.
      EXPECT_EQ(model->restore(file).position(), session.position());
      ++unchanged;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(file.string()));
      ++refused;
    }
  }
  EXPECT_GT(refused, whole.size() / 3 - 30);
  EXPECT_LE(unchanged, 30u);
  for (std::size_t length = 0; length < whole.size(); length += 7) {
    test::overwrite(file, whole.substr(0, length));
    EXPECT_THROW((void)model->restore(file), Error) << length;
  }
}

/// Files with a right hash whose state isn't.
TEST(SessionFileTest, StatesThatCannotBeAreRefused) {
  const TemporaryFolder folder;
  const Path file = folder / "session.safetensors";
  const auto config = small("ecp", "modern");
  const auto weights = random_weights(config, 1);
  const auto model = build(config, *weights);
  Session session = model->session(lively(10));
  session.prompt(random_tokens(30, config.vocab, 1));
  session.next_token();
  session.save(file);
  const runtime::SessionState good = runtime::SessionFile(file).state();
  const runtime::StreamLayout layout(config);
  runtime::StreamCache cache(config, layout);
  runtime::SessionFile(file).read_cache(cache, layout, config);
  const auto refused = [&](const auto& change) {
    runtime::SessionState state = good;
    change(state);
    runtime::write_session(file, state, cache, layout, config);
    return error_of([&] { (void)model->restore(file); });
  };
  EXPECT_THAT(refused([](auto& state) { state.rows = 31; }), HasSubstr("rows 31 <= written 30"));
  EXPECT_THAT(refused([](auto& state) { state.rows = 2; }), HasSubstr("2 rows can't be gone on from"));
  EXPECT_THAT(refused([](auto& state) { state.rows = state.written = 5; }), HasSubstr("expected [4, 5, 6]"));
  EXPECT_THAT(refused([](auto& state) { state.generation.history.clear(); }), HasSubstr("last tokens"));
  EXPECT_THAT(refused([](auto& state) { state.generation.history[0] = 37; }), HasSubstr("tokens below 37"));
  EXPECT_THAT(refused([](auto& state) { state.pending = 36; }), HasSubstr("last tokens"));
  EXPECT_THAT(refused([](auto& state) { state.logits = {1, 2}; }), HasSubstr("expected 37, got 2"));
  EXPECT_THAT(refused([](auto& state) { state.generation.sampling.temperature = -1; }),
              HasSubstr("temperature"));
  EXPECT_THAT(refused([](auto& state) { state.generation.since_prompt = 10; }), HasSubstr("since_prompt"));
  EXPECT_THAT(refused([](auto& state) { state.generation.character = "a"; }), HasSubstr("character"));
  EXPECT_THAT(refused([](auto& state) { state.model = "other"; }), HasSubstr("another model"));
  EXPECT_EQ(refused([](auto&) {}), "");
}

}  // namespace
}  // namespace ecp
