// What the cached, chunked runtime computes equals the model's whole forward pass.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>

#include "ecp/base/error.h"
#include "ecp/weights/safetensors.h"
#include "forward_cases.h"
#include "reference_model.h"

namespace ecp {
namespace {

/// Feeds `tokens` in chunks; the sizes repeat.
std::vector<float> run(const Model& model, const std::vector<Token>& tokens,
                       const std::vector<std::size_t>& chunks) {
  Session session = model.session();
  std::vector<float> all;
  std::size_t at = 0;
  for (std::size_t i = 0; at < tokens.size(); ++i) {
    const std::size_t count = std::min(chunks[i % chunks.size()], tokens.size() - at);
    const auto part = session.forward(std::span(tokens).subspan(at, count));
    all.insert(all.end(), part.begin(), part.end());
    at += count;
  }
  EXPECT_EQ(session.position(), tokens.size());
  return all;
}

double largest_difference(const std::vector<float>& got, const std::vector<Row>& expected) {
  double largest = 0;
  std::size_t at = 0;
  for (const Row& row : expected) {
    for (const double value : row) largest = std::max(largest, std::abs(value - got.at(at++)));
  }
  EXPECT_EQ(at, got.size());
  return largest;
}

class Forward : public testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(Models, Forward, testing::ValuesIn(cases()),
                         [](const auto& test) { return test.param.name; });

TEST_P(Forward, EqualsTheWholeSequenceInDouble) {
  const auto& [name, config, count] = GetParam();
  const auto weights = random_weights(config, 1);
  const auto tokens = random_tokens(count, config.vocab, 2);
  const auto expected = ReferenceModel(config, *weights).logits(tokens);
  const auto model = build(config, *weights);
  for (const std::vector<std::size_t>& chunks : {std::vector<std::size_t>{1}, {1000}, {7}, {3, 1, 1, 11}}) {
    EXPECT_LT(largest_difference(run(*model, tokens, chunks), expected), 5e-5)
        << "chunks of " << chunks.front();
  }
}

TEST_P(Forward, EqualsItWithWeightsOfOtherTypes) {
  const auto& [name, config, count] = GetParam();
  const auto tokens = random_tokens(count, config.vocab, 2);
  for (const DType dtype : {DType::bf16, DType::i8}) {
    const auto weights = random_weights(config, 1);
    store_matrices_as(dtype, *weights);
    const auto expected = ReferenceModel(config, *weights).logits(tokens);
    const auto model = build(config, *weights);
    for (const std::vector<std::size_t>& chunks : {std::vector<std::size_t>{1}, {1000}, {3, 1, 1, 11}}) {
      // Beside int8 weights a single token's inputs may be rounded, to 16 bits.
      const double most = dtype == DType::i8 ? 5e-3 : 5e-5;
      EXPECT_LT(largest_difference(run(*model, tokens, chunks), expected), most)
          << name_of(dtype) << ", chunks of " << chunks.front();
    }
  }
}

TEST_P(Forward, NothingDependsOnLaterTokens) {
  const auto& [name, config, count] = GetParam();
  const auto weights = random_weights(config, 3);
  auto tokens = random_tokens(count, config.vocab, 4);
  const auto model = build(config, *weights);
  const auto before = run(*model, tokens, {1000});
  const std::int64_t changed = count / 2;
  for (std::size_t i = static_cast<std::size_t>(changed); i < tokens.size(); ++i)
    tokens[i] = (tokens[i] + 1) % 37;
  const auto after = run(*model, tokens, {1000});
  const std::ptrdiff_t same = changed * config.vocab;
  EXPECT_TRUE(std::equal(before.begin(), before.begin() + same, after.begin()));
  EXPECT_NE(before, after);
}

TEST(ForwardTest, ChunkSizesMakeNoDifference) {
  const auto all = cases();
  EXPECT_TRUE(rc::check("any chunks", [&] {
    const Case& c = all[*rc::gen::inRange<std::size_t>(0, all.size())];
    const auto chunks = *rc::gen::nonEmpty(
        rc::gen::container<std::vector<std::size_t>>(rc::gen::inRange<std::size_t>(1, 40)));
    const auto weights = random_weights(c.config, 5);
    const auto tokens = random_tokens(2 * c.tokens, c.config.vocab, 6);
    const auto model = build(c.config, *weights, 1);
    const auto one = run(*model, tokens, {1}), other = run(*model, tokens, chunks);
    for (std::size_t i = 0; i < one.size(); ++i) RC_ASSERT(std::abs(one[i] - other[i]) < 1e-4f);
  }));
}

TEST(ForwardTest, MatricesOfSeveralTypesAreJoined) {
  const ModelConfig config = small("ecp", "modern");
  const auto weights = random_weights(config, 9), mixed = random_weights(config, 9);
  store_matrices_as(DType::bf16, *weights);
  *mixed = *weights;
  for (auto& [name, view] : mixed->tensors) {  // the queries' alone in float32, the same values
    if (!name.ends_with("attention.q.weight")) continue;
    view = {DType::f32, view.shape, std::as_bytes(std::span(mixed->values[name]))};
  }
  const auto tokens = random_tokens(23, config.vocab, 10);
  EXPECT_EQ(run(*build(config, *mixed), tokens, {1}), run(*build(config, *weights), tokens, {1}));
}

TEST(ForwardTest, ThreadsMakeNoDifferenceAtAll) {
  ModelConfig config = small("ecp", "modern");
  config.vocab = 3001;
  config.dim = 192;
  config.block = 40;
  config.ffn_dim = 0;
  const auto tokens = random_tokens(300, config.vocab, 8);
  for (const DType dtype : {DType::f32, DType::bf16, DType::i8}) {
    const auto weights = random_weights(config, 7);
    if (dtype != DType::f32) store_matrices_as(dtype, *weights);
    std::vector<float> first;
    for (const int threads : {1, 2, 3, 6}) {
      const auto model = build(config, *weights, threads);
      auto got = run(*model, tokens, {170, 1, 1, 64});
      if (first.empty()) first = got;
      EXPECT_EQ(got, first) << threads << " threads, " << name_of(dtype);
    }
  }
}

TEST(ForwardTest, FarOutInAStreamTheSameTokensGiveTheSameLogits) {
  // After row 20,000 of a stream, at a block's start, the rows that can still be seen are those of the last
  // L · w blocks: a fresh stream of these tokens alone must agree, positions and all.
  for (const char* preset : {"modern", "paper"}) {
    ModelConfig config = small("ecp", preset);
    config.vocab = 61;
    config.block = 16;
    config.sequence = 32;
    const auto weights = random_weights(config, 9);
    const auto tokens = random_tokens(20100, config.vocab, 10);
    const auto model = build(config, *weights);
    Session session = model->session();
    session.forward(std::span(tokens).first(1000));
    const std::uint64_t bytes = session.cache_bytes();
    EXPECT_GT(bytes, 0u);
    const std::size_t far = 20000 / 16 * 16;
    session.forward(std::span(tokens).subspan(1000, far - 1000));
    const auto got = session.forward(std::span(tokens).subspan(far, 20));
    EXPECT_EQ(session.cache_bytes(), bytes);
    EXPECT_EQ(session.position(), far + 20);
    // The reference sees a stream that begins four blocks earlier; its own first blocks stand in for block
    // 0's special treatment and are not compared.
    const std::size_t warm = std::string(preset) == "paper" ? 6 * 16 : 4 * 16;
    const std::vector<Token> tail(tokens.begin() + static_cast<std::ptrdiff_t>(far - warm),
                                  tokens.begin() + static_cast<std::ptrdiff_t>(far + 20));
    const auto expected = ReferenceModel(config, *weights).logits(tail);
    const std::vector<Row> last(expected.end() - 20, expected.end());
    EXPECT_LT(largest_difference(got, last), 1e-4) << preset;
    EXPECT_EQ(session.beyond_trained_length(), std::string(preset) == "paper");
    if (std::string(preset) == "modern") {
      // The training model counts positions from the window's start: the same logits.
      const auto shifted = ReferenceModel(config, *weights).logits(tail, static_cast<std::int64_t>(far));
      EXPECT_LT(largest_difference(got, {shifted.end() - 20, shifted.end()}), 1e-4);
    }
  }
}

TEST(ForwardTest, TwentyThousandTokensOneByOneAtConstantMemory) {
  ModelConfig config = small("ecp", "modern");
  config.layers = 1;
  const auto weights = random_weights(config, 11);
  const auto model = build(config, *weights, 1);
  Session session = model->session({.temperature = 1, .seed = 5, .max_tokens = -1});
  const Token start = 1;
  session.prompt(std::span(&start, 1));
  std::uint64_t bytes = 0;
  for (int i = 1; i <= 20000; ++i) {
    ASSERT_TRUE(session.next_token().has_value());
    if (i == 100) bytes = session.cache_bytes();
  }
  EXPECT_EQ(session.cache_bytes(), bytes);
  EXPECT_EQ(bytes, 2u * 10 * 24 * sizeof(float));  // keys and values, (w + 1) · b rows, one layer
  EXPECT_EQ(session.generated(), 20000u);
  EXPECT_EQ(session.position(), 20001u);
}

TEST(ForwardTest, CachesAreAsSmallAsThePatternsAllow) {
  const auto rows_of = [](ModelConfig config) {
    config.layers = 1;
    const auto weights = random_weights(config, 21);
    const auto model = build(config, *weights, 1);
    Session session = model->session();
    session.forward(random_tokens(300, config.vocab, 22));
    return session.cache_bytes() / (2u * static_cast<std::uint64_t>(config.dim) * sizeof(float));
  };
  ModelConfig sliding = small("sliding", "modern"), shifted = small("shifted", "modern");
  sliding.window = 9;
  shifted.group = 8;
  EXPECT_EQ(rows_of(sliding), 9u);
  EXPECT_EQ(rows_of(shifted), 8u);
  ModelConfig halves = small("ecp", "modern");
  halves.shift_heads = true;
  EXPECT_EQ(rows_of(halves), 10u);
}

TEST(ForwardTest, ModelsWithoutACacheAreRefused) {
  for (const char* architecture : {"perceiver_ar", "double", "split", "compressed"}) {
    const ModelConfig config = small(architecture, "modern");
    const auto weights = random_weights(config, 23);
    EXPECT_THAT([&] { static_cast<void>(build(config, *weights)->session()); },
                testing::ThrowsMessage<Error>(testing::HasSubstr("has no cache")))
        << architecture;
  }
}

TEST(ForwardTest, SessionsOfOneModelAreIndependent) {
  const ModelConfig config = small("ecp", "modern");
  const auto weights = random_weights(config, 12);
  const auto model = build(config, *weights);
  const auto a = random_tokens(30, config.vocab, 13), b = random_tokens(30, config.vocab, 14);
  const auto expected_a = run(*model, a, {1000}), expected_b = run(*model, b, {1000});
  Session first = model->session(), second = model->session();
  std::vector<float> got_a, got_b;
  for (std::size_t i = 0; i < a.size(); i += 10) {
    const auto part_a = first.forward(std::span(a).subspan(i, 10)),
               part_b = second.forward(std::span(b).subspan(i, 10));
    got_a.insert(got_a.end(), part_a.begin(), part_a.end());
    got_b.insert(got_b.end(), part_b.begin(), part_b.end());
  }
  for (std::size_t i = 0; i < got_a.size(); ++i) {
    ASSERT_NEAR(got_a[i], expected_a[i], 1e-4);
    ASSERT_NEAR(got_b[i], expected_b[i], 1e-4);
  }
  std::vector<std::thread> threads;
  std::vector<std::vector<float>> results(3);
  for (auto& result : results) threads.emplace_back([&] { result = run(*model, a, {1000}); });
  for (auto& thread : threads) thread.join();
  for (const auto& result : results) EXPECT_EQ(result, expected_a);
}

TEST(ForwardTest, BadInputIsRefused) {
  const ModelConfig config = small("ecp", "modern");
  const auto weights = random_weights(config, 15);
  const auto model = build(config, *weights);
  Session session = model->session();
  const std::vector<Token> unknown = {1, 37};
  EXPECT_THROW(session.forward(unknown), Error);
  EXPECT_EQ(session.position(), 0u);
  EXPECT_TRUE(session.forward({}).empty());
  EXPECT_THROW(session.prompt("text without a tokenizer"), Error);
  EXPECT_THROW(session.next(), Error);

  auto tensors = weights->tensors;
  tensors[2].view.shape = {24, 23};
  EXPECT_THAT([&] { Model::create(config, tensors, nullptr); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("expected shape [24, 24], got [24, 23]")));
  tensors.pop_back();
  tensors[2] = weights->tensors[2];
  EXPECT_THAT([&] { Model::create(config, tensors, nullptr); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("tensor 'norm.weight' is missing")));
  EXPECT_THROW(Model::create(config, weights->tensors, nullptr, -3), Error);
  ModelConfig wrong = config;
  wrong.heads = 5;
  EXPECT_THROW(Model::create(wrong, weights->tensors, nullptr), Error);
}

}  // namespace
}  // namespace ecp
