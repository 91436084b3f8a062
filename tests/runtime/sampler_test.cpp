#include "ecp/runtime/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "ecp/base/error.h"
#include "ecp/base/random.h"

namespace ecp::runtime {
namespace {

std::vector<Token> tokens_of(const std::vector<Candidate>& candidates) {
  std::vector<Token> tokens;
  for (const Candidate& candidate : candidates) tokens.push_back(candidate.token);
  return tokens;
}

/// Logits whose softmax is `probabilities`.
std::vector<float> logits_of(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p)));
  return logits;
}

TEST(SamplerTest, TemperatureZeroIsTheLargestLogitAndOfEqualsTheFirst) {
  std::vector<float> logits = {1, 3, -2, 3, 2};
  for (const double uniform : {0.0, 0.5, 0.999})
    EXPECT_EQ(sample(logits, {.temperature = 0}, {}, uniform), 1u);
}

TEST(SamplerTest, DrawsFollowTheProbabilities) {
  const std::vector<double> probabilities = {0.1, 0.4, 0.2, 0.3};
  std::vector<int> counts(4);
  const int draws = 20000;
  for (int i = 0; i < draws; ++i) {
    auto logits = logits_of(probabilities);
    ++counts[sample(logits, {.temperature = 1}, {}, random_uniform(7, static_cast<std::uint64_t>(i)))];
  }
  for (std::size_t i = 0; i < counts.size(); ++i)
    EXPECT_NEAR(counts[i] / static_cast<double>(draws), probabilities[i], 0.015);
}

TEST(SamplerTest, TemperatureIsAPowerOfTheProbabilities) {
  auto all = most_probable(logits_of({0.1, 0.4, 0.5}), 0);
  weigh(all, 0.5f);
  EXPECT_NEAR(all[2].weight / all[0].weight, 0.04, 1e-6);
  EXPECT_NEAR(all[1].weight / all[0].weight, 0.64, 1e-6);
  weigh(all, 1e-30f);  // as good as greedy, and no NaN
  EXPECT_EQ(all[0].weight, 1);
  EXPECT_EQ(all[2].weight, 0);
}

TEST(SamplerTest, TheMostProbableOnesAreThoseOfTheWholeListSorted) {
  EXPECT_EQ(tokens_of(most_probable(std::vector<float>{1, 5, 5, 0, 5, 9}, 3)), (std::vector<Token>{5, 1, 2}));
  EXPECT_TRUE(rc::check("any logits, many of them equal", [] {
    const auto raw = *rc::gen::nonEmpty(rc::gen::container<std::vector<int>>(rc::gen::inRange(-9, 9)));
    const std::vector<float> logits(raw.begin(), raw.end());
    std::vector<Token> all(logits.size());
    std::iota(all.begin(), all.end(), Token{0});
    std::stable_sort(all.begin(), all.end(), [&](Token a, Token b) { return logits[a] > logits[b]; });
    RC_ASSERT(tokens_of(most_probable(logits, 0)) == all);
    const auto k = *rc::gen::inRange<std::size_t>(1, logits.size() + 3);
    all.resize(std::min(k, all.size()));
    RC_ASSERT(tokens_of(most_probable(logits, static_cast<std::int64_t>(k))) == all);
  }));
}

TEST(SamplerTest, TopPKeepsTheFewestThatReachTheShare) {
  const auto kept = [](float p) {
    auto all = most_probable(logits_of({0.1, 0.4, 0.2, 0.3}), 0);
    weigh(all, 1);
    double total = 0;
    for (const Candidate& candidate : all) total += candidate.weight;
    keep_top_p(all, p, total);
    return tokens_of(all);
  };
  EXPECT_EQ(kept(1e-9f), (std::vector<Token>{1}));
  EXPECT_EQ(kept(0.39f), (std::vector<Token>{1}));
  EXPECT_EQ(kept(0.41f), (std::vector<Token>{1, 3}));
  EXPECT_EQ(kept(0.89f), (std::vector<Token>{1, 3, 2}));
  EXPECT_EQ(kept(1).size(), 4u);
}

TEST(SamplerTest, MinPKeepsThoseNearTheMostProbable) {
  auto all = most_probable(logits_of({0.1, 0.4, 0.2, 0.3}), 0);
  weigh(all, 1);
  keep_min_p(all, 0.49f);
  EXPECT_EQ(tokens_of(all), (std::vector<Token>{1, 3, 2}));
  keep_min_p(all, 1);
  EXPECT_EQ(tokens_of(all), (std::vector<Token>{1}));
}

/// Logits of a vocabulary that takes several blocks of sums.
std::vector<float> many_logits(std::size_t count) {
  std::vector<float> logits;
  for (std::uint64_t i = 0; i < count; ++i) {
    logits.push_back(static_cast<float>(8 * random_uniform(11, i) * random_uniform(12, i)));
  }
  return logits;
}

TEST(SamplerTest, AVocabularyIsDrawnFromAsAListIs) {
  for (const std::size_t count : {1u, 15u, 1023u, 1024u, 1025u, 5003u}) {
    const std::vector<float> logits = many_logits(count);
    const WeightedVocabulary vocabulary(logits, 0.7f);
    std::vector<Candidate> all;
    for (std::size_t i = 0; i < count; ++i) all.push_back({static_cast<Token>(i), logits[i], 0});
    weigh(all, 0.7f);
    double total = 0;
    for (const Candidate& candidate : all) total += candidate.weight;
    EXPECT_NEAR(vocabulary.total() / total, 1, 1e-6);
    int same = 0;
    const int draws = 500;
    for (int i = 0; i < draws; ++i) {
      const double uniform = random_uniform(13, static_cast<std::uint64_t>(i));
      same += vocabulary.draw(uniform) == draw(all, uniform) ? 1 : 0;
    }
    EXPECT_GE(same, draws - 2) << count;  // but where rounding decides
    EXPECT_EQ(vocabulary.draw(0), draw(all, 0));
    EXPECT_LT(vocabulary.draw(std::nextafter(1.0, 0.0)), count);
  }
}

TEST(SamplerTest, TheNucleusOfAVocabularyIsThatOfAList) {
  const std::vector<float> logits = many_logits(5003);
  const WeightedVocabulary vocabulary(logits, 0.7f);
  for (const float top_p : {1e-9f, 0.1f, 0.5f, 0.9f, 0.999f, 1.0f}) {
    for (const float min_p : {0.0f, 1e-3f, 0.3f, 1.0f}) {
      auto all = most_probable(logits, 0);
      weigh(all, 0.7f);
      double total = 0;
      for (const Candidate& candidate : all) total += candidate.weight;
      keep_min_p(all, min_p);
      keep_top_p(all, top_p, total);
      auto found = vocabulary.nucleus(min_p, top_p);
      // Rounding may decide about the last one.
      EXPECT_NEAR(static_cast<double>(found.size()), static_cast<double>(all.size()), 1)
          << top_p << ' ' << min_p;
      std::vector<Token> a = tokens_of(found), b = tokens_of(all);
      const std::size_t both = std::min(a.size(), b.size());
      if (top_p < 1) {
        a.resize(both), b.resize(both);
        EXPECT_EQ(a, b) << top_p << ' ' << min_p;
      } else {
        EXPECT_THAT(a, testing::UnorderedElementsAreArray(b)) << min_p;
      }
    }
  }
}

TEST(SamplerTest, ProbabilitiesAreThoseOfTheSoftmax) {
  const std::vector<float> logits = many_logits(5003);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
  Generated told;
  told.token = 4711;
  tell_probabilities(logits, 3, told);
  EXPECT_NEAR(told.logprob, static_cast<double>(logits[4711]) - std::log(sum), 1e-5);
  ASSERT_EQ(told.top.size(), 3u);
  const auto best = most_probable(logits, 3);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(told.top[i].token, best[i].token);
    EXPECT_NEAR(told.top[i].logprob, static_cast<double>(best[i].logit) - std::log(sum), 1e-5);
  }
}

TEST(SamplerTest, ThePenaltyLowersEachRecentTokenOnce) {
  std::vector<float> logits = {2, -2, 1, 0};
  penalize_repetition(logits, std::vector<Token>{0, 1, 0, 3, 99}, 2);
  EXPECT_EQ(logits, (std::vector<float>{1, -4, 1, 0}));
}

TEST(SamplerTest, LogitsThatAreNotFiniteAreAnError) {
  for (const float bad :
       {std::nanf(""), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
    for (const float temperature : {0.0f, 1.0f}) {
      std::vector<float> logits = {1, bad, 2};
      EXPECT_THAT([&] { sample(logits, {.temperature = temperature}, {}, 0.5); },
                  testing::ThrowsMessage<Error>(testing::HasSubstr("logit of token 1")));
    }
  }
  EXPECT_THROW(most_probable({}), Error);
  EXPECT_THROW(WeightedVocabulary({}, 1), Error);
}

TEST(SamplerTest, AlwaysChoosesATokenThatPassesEveryFilter) {
  EXPECT_TRUE(rc::check("any logits, any filters", [] {
    const auto raw = *rc::gen::nonEmpty(rc::gen::container<std::vector<int>>(rc::gen::inRange(-3000, 3000)));
    std::vector<float> logits(raw.begin(), raw.end());
    for (float& logit : logits) logit *= 0.01f;
    Sampling sampling;
    sampling.temperature = static_cast<float>(*rc::gen::inRange(1, 300)) * 0.01f;
    sampling.top_k = *rc::gen::inRange(0, 20);
    sampling.top_p = static_cast<float>(*rc::gen::inRange(1, 101)) * 0.01f;
    sampling.min_p = static_cast<float>(*rc::gen::inRange(0, 101)) * 0.01f;
    sampling.validate();
    const double uniform = *rc::gen::inRange(0, 1000) / 1000.0;
    const std::vector<float> before = logits;
    const Token token = sample(logits, sampling, {}, uniform);
    RC_ASSERT(token < before.size());
    std::int64_t larger = 0;
    for (const float logit : before) larger += logit > before[token] ? 1 : 0;
    RC_ASSERT(sampling.top_k == 0 || larger < sampling.top_k);
    const float top = *std::max_element(before.begin(), before.end());
    RC_ASSERT(std::exp((before[token] - top) / sampling.temperature) >= sampling.min_p * 0.999f);
    RC_ASSERT(token == sample(logits, sampling, {}, uniform));
  }));
}

TEST(SamplerTest, AbsurdSettingsAreRefused) {
  const auto refused = [](auto change, const std::string& name) {
    Sampling sampling;
    change(sampling);
    EXPECT_THAT([&] { sampling.validate(); }, testing::ThrowsMessage<Error>(testing::StartsWith(name)));
  };
  const float nan = std::nanf(""), infinity = std::numeric_limits<float>::infinity();
  for (const float bad : {nan, infinity, -1.0f}) {
    refused([&](Sampling& s) { s.temperature = bad; }, "temperature");
    refused([&](Sampling& s) { s.top_p = bad; }, "top_p");
    refused([&](Sampling& s) { s.min_p = bad; }, "min_p");
    refused([&](Sampling& s) { s.repetition_penalty = bad; }, "repetition_penalty");
  }
  refused([](Sampling& s) { s.top_p = 2; }, "top_p");
  refused([](Sampling& s) { s.top_p = 0; }, "top_p");
  refused([](Sampling& s) { s.repetition_penalty = 0; }, "repetition_penalty");
  refused([](Sampling& s) { s.top_k = -1; }, "top_k");
  refused([](Sampling& s) { s.max_tokens = -2; }, "max_tokens");
  refused([](Sampling& s) { s.repetition_window = -1; }, "repetition_window");
  refused([](Sampling& s) { s.stop = {"a", ""}; }, "stop");
  refused([](Sampling& s) { s.stop = {"\xA9"}; }, "stop");
}

}  // namespace
}  // namespace ecp::runtime
