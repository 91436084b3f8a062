// Sessions computed together, forked, rewound, scored: each the same, bit for bit, as a session alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "ecp/base/error.h"
#include "ecp/weights/safetensors.h"
#include "forward_cases.h"
#include "reference_model.h"

namespace ecp {
namespace {

class Together : public testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(Models, Together, testing::ValuesIn(cases()),
                         [](const auto& test) { return test.param.name; });

Sampling lively(std::uint64_t seed, std::int64_t tokens) {
  Sampling sampling;
  sampling.temperature = 1;
  sampling.seed = seed;
  sampling.max_tokens = tokens;
  sampling.logprobs = 2;
  sampling.repetition_penalty = 1.1f;
  return sampling;
}

Session begun(const Model& model, const std::vector<Token>& prompt, const Sampling& sampling) {
  Session session = model.session(sampling);
  session.prompt(prompt);
  return session;
}

std::vector<Token> rest(Session& session) {
  std::vector<Token> tokens;
  while (const auto token = session.next_token()) tokens.push_back(*token);
  return tokens;
}

TEST_P(Together, EachGivesWhatItGivesAlone) {
  const auto& [name, config, count] = GetParam();
  for (const DType dtype : {DType::f32, DType::bf16, DType::i8}) {
    const auto weights = random_weights(config, 1);
    if (dtype != DType::f32) store_matrices_as(dtype, *weights);
    const auto model = build(config, *weights);
    std::vector<Session> sessions;
    std::vector<std::vector<Token>> alone, together(7);
    for (std::uint64_t i = 0; i < 7; ++i) {  // begun at different places, over at different times
      const auto prompt = random_tokens(1 + static_cast<std::int64_t>(i) * 4, config.vocab, i);
      const Sampling sampling = lively(i, 3 * static_cast<std::int64_t>(i));
      Session session = begun(*model, prompt, sampling);
      alone.push_back(rest(session));
      EXPECT_EQ(alone.back().size(), 3 * i);
      sessions.push_back(begun(*model, prompt, sampling));
    }
    std::vector<Session*> all;
    for (Session& session : sessions) all.push_back(&session);
    for (int step = 0; step < 20; ++step) {
      Session::prepare(all);
      for (std::size_t i = 0; i < all.size(); ++i) {
        if (const auto token = all[i]->next_token()) together[i].push_back(*token);
      }
    }
    EXPECT_EQ(together, alone) << name_of(dtype);
  }
}

TEST_P(Together, AForkGoesOnAndLeavesTheOriginal) {
  const auto& [name, config, count] = GetParam();
  const auto weights = random_weights(config, 1);
  const auto model = build(config, *weights);
  const auto prompt = random_tokens(count / 2, config.vocab, 2);
  Session session = begun(*model, prompt, lively(1, 40));
  for (int i = 0; i < 5; ++i) session.next_token();
  Session fork = session.fork(), other = session.fork();
  other.set_sampling(lively(2, 35));
  const auto expected = rest(session);
  EXPECT_EQ(expected.size(), 35u);
  EXPECT_NE(rest(other), expected);
  EXPECT_EQ(rest(fork), expected);
  EXPECT_EQ(fork.position(), session.position());
}

TEST_P(Together, RewindingUndoesAllThatCanBeUndone) {
  const auto& [name, config, count] = GetParam();
  const auto weights = random_weights(config, 1);
  const auto model = build(config, *weights, 1);
  const auto tokens = random_tokens(count + 25, config.vocab, 3);
  const Sampling sampling = lively(1, 12);
  std::uint64_t rewound = 0;
  for (std::size_t length = 1; length <= tokens.size(); length += 3) {
    Session session = model->session(sampling);
    for (std::size_t i = 0; i < length; ++i) session.prompt(std::span(tokens).subspan(i, 1));
    const std::uint64_t most = session.most_rewind();
    EXPECT_LE(most, length);
    EXPECT_THROW(session.rewind(most + 1), Error);
    for (const std::uint64_t back : {most, most / 2, std::min<std::uint64_t>(most, 1)}) {
      Session changed = session.fork(), plain = model->session(sampling);
      if (changed.most_rewind() > 0) rest(changed);  // some more, which are taken back as well if possible
      const std::uint64_t more = changed.position() - length;
      if (changed.most_rewind() < back + more) changed = session.fork();
      changed.rewind(changed.position() - (length - back));
      EXPECT_EQ(changed.position(), length - back);
      for (std::size_t i = 0; i < length - back; ++i) plain.prompt(std::span(tokens).subspan(i, 1));
      if (back == length) {
        changed.prompt(std::span(tokens).first(1));
        plain.prompt(std::span(tokens).first(1));
      }
      ASSERT_EQ(rest(changed), rest(plain)) << "length " << length << ", " << back << " back";
      rewound += back;
    }
  }
  if (config.block > 1 && config.window != 1) {
    EXPECT_GT(rewound, 0u);
  }
}

TEST_P(Together, ScoresAreTheLogProbabilitiesOfWhatComesNext) {
  const auto& [name, config, count] = GetParam();
  const auto weights = random_weights(config, 1);
  const auto tokens = random_tokens(count, config.vocab, 2);
  const auto logits = ReferenceModel(config, *weights).logits(tokens);
  Sampling sampling;
  sampling.logprobs = 3;
  Session session = build(config, *weights)->session(sampling);
  auto scored = session.score(std::span(tokens).first(tokens.size() / 2));
  for (const Generated& one : session.score(std::span(tokens).subspan(tokens.size() / 2))) {
    scored.push_back(one);
  }
  ASSERT_EQ(scored.size(), tokens.size());
  EXPECT_TRUE(scored[0].top.empty());
  for (std::size_t i = 1; i < tokens.size(); ++i) {
    const Row& row = logits[i - 1];
    double sum = 0;
    for (const double logit : row) sum += std::exp(logit);
    EXPECT_EQ(scored[i].token, tokens[i]);
    EXPECT_NEAR(scored[i].logprob, row[tokens[i]] - std::log(sum), 1e-4);
    ASSERT_EQ(scored[i].top.size(), 3u);
    EXPECT_NEAR(scored[i].top[0].logprob, *std::max_element(row.begin(), row.end()) - std::log(sum), 1e-4);
    EXPECT_GE(scored[i].top[1].logprob, scored[i].top[2].logprob);
  }
  EXPECT_EQ(session.position(), tokens.size());
}

TEST(TogetherTest, LongScoresGoOnAcrossTheirParts) {
  const ModelConfig config = small("ecp", "modern");
  const auto weights = random_weights(config, 1);
  const auto model = build(config, *weights);
  const auto tokens = random_tokens(600, config.vocab, 2);
  Session whole = model->session(), pieces = model->session();
  const auto expected = whole.score(tokens);
  std::vector<Generated> got;
  for (std::size_t at = 0; at < tokens.size(); at += 100) {
    for (const Generated& one : pieces.score(std::span(tokens).subspan(at, 100))) got.push_back(one);
  }
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i].logprob, expected[i].logprob, 1e-4) << i;
}

TEST(TogetherTest, SessionsOfDifferentModelsAreRefused) {
  const ModelConfig config = small("ecp", "modern");
  const auto weights = random_weights(config, 1);
  const auto one = build(config, *weights), other = build(config, *weights);
  Session a = begun(*one, {1}, lively(1, 5)), b = begun(*other, {1}, lively(1, 5));
  a.next_token();
  b.next_token();
  std::vector<Session*> both = {&a, &b};
  EXPECT_THAT([&] { Session::prepare(both); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("of one model")));
}

}  // namespace
}  // namespace ecp
