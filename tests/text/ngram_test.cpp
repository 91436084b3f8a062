#include "ecp/text/ngram.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include <cmath>
#include <map>

#include "tests/text/text_samples.h"

namespace ecp {
namespace {

using ::ecp::test::error_of;
using ::ecp::test::sample_text;
using ::ecp::test::sample_tokenizers;
using ::ecp::test::TemporaryFolder;
using ::testing::HasSubstr;

std::shared_ptr<const TokenFile> write_tokens(const Path& path, const std::vector<Token>& tokens) {
  TokenFileWriter writer(path, byte_tokenizer());
  writer.add_document(tokens, std::min<std::size_t>(3, tokens.size()), tokens.size());
  writer.commit();
  return std::make_shared<const TokenFile>(path);
}

TEST(Ngram, FollowsItsFormulas) {
  const TemporaryFolder folder;
  const auto file = write_tokens(folder / "a.npy", {1, 2, 1, 2, 1, 3, 4, 4});
  const NgramModel model({file});
  // Counts 1: 3, 2: 2, 3: 1, 4: 2; n1 = 1, n2 = 2.
  const double d1 = 1.0 / 5;
  EXPECT_DOUBLE_EQ(model.unigram_discount(), d1);
  const double uniform = d1 * 4 / 8 / 256;
  EXPECT_DOUBLE_EQ(model.unigram(1), (3 - d1) / 8 + uniform);
  EXPECT_DOUBLE_EQ(model.unigram(9), uniform);
  // Pairs 12: 2, 21: 2, 13: 1, 34: 1, 44: 1; n1 = 3, n2 = 2.
  const double d2 = 3.0 / 7;
  EXPECT_DOUBLE_EQ(model.bigram_discount(), d2);
  EXPECT_DOUBLE_EQ(model.bigram(1, 2), (2 - d2) / 3 + d2 * 2 / 3 * model.unigram(2));
  EXPECT_DOUBLE_EQ(model.bigram(1, 9), d2 * 2 / 3 * model.unigram(9));
  EXPECT_DOUBLE_EQ(model.bigram(9, 1), model.unigram(1));
}

TEST(Ngram, EachDistributionSumsToOne) {
  const TemporaryFolder folder;
  for (const std::size_t length : {1, 2, 3, 7, 30, 200, 5000}) {
    std::vector<Token> tokens(length);
    for (std::size_t i = 0; i < length; ++i) tokens[i] = static_cast<Token>(random_below(12, length, i));
    const NgramModel model({write_tokens(folder / "a.npy", tokens)});
    double unigram = 0;
    for (Token w = 0; w < 256; ++w) unigram += model.unigram(w);
    EXPECT_NEAR(unigram, 1, 1e-12);
    for (Token v = 0; v < 13; ++v) {
      double bigram = 0, least = 1;
      for (Token w = 0; w < 256; ++w) {
        least = std::min(least, model.bigram(v, w));
        bigram += model.bigram(v, w);
      }
      EXPECT_GT(least, 0);
      EXPECT_NEAR(bigram, 1, 1e-12);
    }
  }
}

TEST(Ngram, ScoresEveryTokenOnce) {
  const TemporaryFolder folder;
  const auto train = write_tokens(folder / "a.npy", {1, 2, 1, 2, 1, 3, 4, 4});
  const auto test = write_tokens(folder / "b.npy", {2, 1, 7});
  const NgramModel model({train});
  const NgramScore bigram = model.score_bigram(*test);
  EXPECT_DOUBLE_EQ(bigram.nats,
                   -std::log(model.unigram(2)) - std::log(model.bigram(2, 1)) - std::log(model.bigram(1, 7)));
  const NgramScore unigram = model.score_unigram(*test);
  EXPECT_DOUBLE_EQ(unigram.nats,
                   -std::log(model.unigram(2)) - std::log(model.unigram(1)) - std::log(model.unigram(7)));
  EXPECT_EQ(unigram.tokens, 3);
  EXPECT_DOUBLE_EQ(unigram.bits_per_byte(), unigram.nats / std::log(2.0) / 3);
  EXPECT_DOUBLE_EQ(unigram.perplexity_token(), std::exp(unigram.nats / 3));
  EXPECT_DOUBLE_EQ(unigram.perplexity_word(), std::exp(unigram.nats / 3));
}

TEST(Ngram, PairsDontSpanFiles) {
  const TemporaryFolder folder;
  const auto a = write_tokens(folder / "a.npy", {1, 1, 1, 5}), b = write_tokens(folder / "b.npy", {6, 1, 1});
  const NgramModel model({a, b});
  EXPECT_DOUBLE_EQ(model.bigram(5, 6), model.unigram(6));  // 5 ends its file
}

TEST(Ngram, ManyTokensAgreeWithSimpleCounting) {
  const TemporaryFolder folder;
  std::vector<Token> tokens(9'000'000);  // more than fit between two merges
  Token previous = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    previous = tokens[i] = static_cast<Token>(random_below(40, 3, i / 2) + (i % 3 == 0 ? previous : 0)) % 200;
  }
  std::map<std::pair<Token, Token>, double> pairs;
  std::vector<double> followed(256), successors(256);
  for (std::size_t i = 1; i < tokens.size(); ++i) {
    successors[tokens[i - 1]] += ++pairs[{tokens[i - 1], tokens[i]}] == 1 ? 1 : 0;
    ++followed[tokens[i - 1]];
  }
  const NgramModel model({write_tokens(folder / "a.npy", tokens)});
  const double d = model.bigram_discount();
  for (const auto& [pair, count] : pairs) {
    const auto [v, w] = pair;
    ASSERT_NEAR(model.bigram(v, w),
                (count - d) / followed[v] + d * successors[v] / followed[v] * model.unigram(w), 1e-12);
  }
}

TEST(Ngram, BigramBeatsUnigramOnText) {
  const TemporaryFolder folder;
  const auto write = [&](const std::string& name, const std::string& text) {
    const auto& bpe = sample_tokenizers()[1];
    TokenFileWriter writer(folder / name, bpe);
    writer.add_document(bpe->encode(text), 1, text.size());
    writer.commit();
    return std::make_shared<const TokenFile>(folder / name);
  };
  const auto train = write("a.npy", sample_text(30000, 1)), test = write("b.npy", sample_text(3000, 2));
  const NgramModel model({train});
  EXPECT_LT(model.score_bigram(*test).nats, 0.95 * model.score_unigram(*test).nats);

  const auto bytes = write_tokens(folder / "c.npy", {1, 2, 3});
  EXPECT_THAT(error_of([&] { (void)model.score_bigram(*bytes); }),
              HasSubstr("c.npy': expected the tokenizer of the training files"));
  EXPECT_THAT(error_of([&] { NgramModel({train, bytes}); }), HasSubstr("c.npy': expected the tokenizer of"));
  EXPECT_THAT(error_of([&] { NgramModel({}); }), HasSubstr("no token files"));
}

}  // namespace
}  // namespace ecp
