// The models against a plain float64 computation, and what must hold of every language model.
#include "ecp/model/language_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

#include "ecp/base/system.h"
#include "ecp/config/attention_plan.h"
#include "tests/model/model_fixture.h"
#include "tests/model/naive_model.h"
#include "tests/support/errors.h"

namespace ecp {
namespace {

using namespace ecp::test;
using testing::HasSubstr;

/// Configurations with every choice that the presets leave out.
std::vector<ModelConfig> many() {
  std::vector<ModelConfig> all = all_small();
  ModelConfig grouped = small("ecp", "modern");
  grouped.heads = 6;
  grouped.kv_heads = 2;
  grouped.lookback = 2;
  grouped.tie_embeddings = false;
  grouped.classifier_bias = true;
  grouped.ffn_bias = true;
  grouped.output_bias = true;
  grouped.first_block_output = true;
  all.push_back(grouped);
  ModelConfig mixed = small("full", "paper");
  mixed.norm = "rms";
  mixed.ffn = "swiglu";
  mixed.rope = "all";
  mixed.rope_theta = 100;
  mixed.kv_heads = 1;
  all.push_back(mixed);
  ModelConfig still = small("ecp", "paper");  // shared but not rotated
  still.rope = "none";
  still.rotate_values = false;
  still.lookback = 3;
  still.qk_norm = "none";
  all.push_back(still);
  ModelConfig turning = small("ecp", "paper");  // rotated values in all layers, far back
  turning.rope = "all";
  turning.lookback = 2;
  all.push_back(turning);
  for (const char* preset : {"paper", "modern"}) {
    ModelConfig halves = small("ecp", preset);
    halves.shift_heads = true;
    halves.lookback = 2;
    halves.heads = 6;
    halves.kv_heads = 2;
    all.push_back(halves);
  }
  ModelConfig theirs = small("compressed", "paper");
  theirs.compressed_residual = "authors";
  all.push_back(theirs);
  for (const char* architecture : {"double", "split", "compressed"}) {  // odd shares, three layers
    ModelConfig uneven = small(architecture, "modern");
    uneven.layers = 3;
    uneven.latents = 6;
    uneven.history_segment = 3;
    uneven.compressed_history = 4;
    all.push_back(uneven);
    uneven.layers = 1;
    all.push_back(uneven);
  }
  return all;
}

TEST(LanguageModel, AgreesWithThePlainComputationAtEveryLength) {
  for (const ModelConfig& config : many()) {
    const auto model = make_model(config);
    const NaiveModel naive(config, wide_weights(*model));
    // Trained: 15, blocks of 5.
    for (const std::int64_t n : possible(config, {1, 2, 4, 5, 6, 7, 8, 11, 15, 16, 17, 33})) {
      SCOPED_TRACE(name_of(config) + " n " + std::to_string(n));
      const at::NoGradGuard no_grad;
      const at::Tensor tokens = make_tokens(2, n, config.vocab);
      const at::Tensor logits = model->logits(tokens);
      ASSERT_EQ(logits.sizes(), at::IntArrayRef({2, config.trained_rows(n), config.vocab}));
      for (std::int64_t b = 0; b < 2; ++b) {
        EXPECT_LE(largest_difference(logits[b], naive.logits(tokens[b])), 2e-5);
      }
    }
  }
}

TEST(LanguageModel, LossAndGradientsAgreeWithThePlainComputation) {
  for (const ModelConfig& config : many()) {
    for (const std::int64_t n : possible(config, {13, 22})) {
      SCOPED_TRACE(name_of(config) + " n " + std::to_string(n));
      const auto model = make_model(config);
      auto weights = wide_weights(*model);
      const at::Tensor tokens = make_tokens(2, n + 1, config.vocab);
      const at::Tensor loss = model->loss_sum(tokens), want = NaiveModel(config, weights).loss_sum(tokens);
      EXPECT_NEAR(loss.item<double>(), want.item<double>(), 2e-6 * want.item<double>());
      EXPECT_EQ(loss.scalar_type(), at::kFloat);
      loss.backward();
      want.backward();
      for (const auto& item : model->named_parameters()) {
        const at::Tensor exact = weights.at(item.key()).grad();
        if (!exact.defined()) {  // not used: kv_norm always, out where all rows are in block 0
          EXPECT_TRUE(!item.value().grad().defined() || item.value().grad().abs().max().item<double>() == 0)
              << item.key();
          continue;
        }
        ASSERT_TRUE(item.value().grad().defined()) << item.key();
        EXPECT_LE(largest_difference(item.value().grad(), exact),
                  2e-5 * std::max(1.0, exact.abs().max().item<double>()))
            << item.key();
      }
    }
  }
}

TEST(LanguageModel, GradientsAgreeWithFiniteDifferences) {
  // Along one random direction per parameter; the difference is taken in float64.
  for (const ModelConfig& config : all_small()) {
    const auto model = make_model(config);
    auto weights = wide_weights(*model);
    const at::Tensor tokens = make_tokens(1, 12, config.vocab);
    model->loss_sum(tokens).backward();
    const at::NoGradGuard no_grad;
    std::uint64_t key = 1;
    for (const auto& item : model->named_parameters()) {
      if (!item.value().grad().defined()) continue;
      at::Tensor& weight = weights.at(item.key());
      at::Tensor direction = at::empty_like(weight);
      for (std::int64_t i = 0; i < direction.numel(); ++i) {
        direction.mutable_data_ptr<double>()[i] = 2 * random_uniform(key, static_cast<std::uint64_t>(i)) - 1;
      }
      ++key;
      const at::Tensor original = weight;
      const auto loss_at = [&](double step) {
        weight = original + step * direction;
        return NaiveModel(config, weights).loss_sum(tokens).item<double>();
      };
      const double slope = (loss_at(1e-4) - loss_at(-1e-4)) / 2e-4;
      weight = original;
      const double ours = (item.value().grad().to(at::kDouble) * direction).sum().item<double>();
      EXPECT_NEAR(ours, slope, 1e-4 * std::max(1.0, std::abs(slope))) << name_of(config) << " " << item.key();
    }
  }
}

TEST(LanguageModel, NothingSeesTheFuture) {
  for (const ModelConfig& config : many()) {
    const auto model = make_model(config);
    const at::NoGradGuard no_grad;
    for (const std::int64_t n : possible(config, {9, 15, 38})) {  // the trained length, less and more
      const at::Tensor tokens = make_tokens(1, n, config.vocab);
      const at::Tensor before = model->logits(tokens);
      for (std::int64_t t = 0; t < n; ++t) {
        at::Tensor changed = tokens.clone();
        changed[0][t] = (changed[0][t] + 1) % config.vocab;
        const at::Tensor after = model->logits(changed);
        const std::int64_t row = t - (n - before.size(1));  // of the first prediction that sees it
        if (row < 0) {
          EXPECT_FALSE(at::equal(before, after)) << name_of(config) << " token " << t;
          continue;
        }
        EXPECT_TRUE(at::equal(before.slice(1, 0, row), after.slice(1, 0, row)))
            << name_of(config) << " token " << t;
        EXPECT_FALSE(at::equal(before.select(1, row), after.select(1, row)))
            << name_of(config) << " token " << t;
      }
    }
  }
}

TEST(LanguageModel, RowsSeeAsFarBackAsThePatternsSay) {
  for (ModelConfig config :
       {small("ecp", "modern"), small("sliding", "modern"), small("shifted", "modern")}) {
    const auto model = make_model(config);
    const at::NoGradGuard no_grad;
    const at::Tensor tokens = make_tokens(1, 30, config.vocab);
    const at::Tensor before = model->logits(tokens);
    const auto earliest = [&](std::int64_t row) {
      for (std::int64_t layer = 0; layer < config.layers; ++layer) {
        std::int64_t first = row;
        for (const HeadGroup& group : head_groups(config)) first = std::min(first, group.pattern.at(row).lo);
        row = first;
      }
      return row;
    };
    for (std::int64_t t = 0; t < 30; ++t) {
      at::Tensor changed = tokens.clone();
      changed[0][t] = (changed[0][t] + 1) % config.vocab;
      const at::Tensor after = model->logits(changed);
      for (std::int64_t row = t; row < 30; ++row) {
        EXPECT_EQ(earliest(row) <= t, !at::equal(before.select(1, row), after.select(1, row)))
            << name_of(config) << " row " << row << " token " << t;
      }
    }
  }
}

TEST(LanguageModel, LatentArchitecturesTakeNoMoreThanTheirLength) {
  for (const char* architecture : {"perceiver_ar", "double", "split", "compressed"}) {
    const ModelConfig config = small(architecture, "modern");
    const auto model = make_model(config);
    EXPECT_EQ(error_of([&] { model->hidden(make_tokens(1, 16, config.vocab)); }),
              std::string("model: architecture ") + architecture +
                  " takes at most 15 tokens (model.sequence) at a time, got 16");
  }
}

TEST(LanguageModel, PackedDocumentsAreAsIfAlone) {
  for (const ModelConfig& config : all_small()) {
    const auto model = make_model(config);
    const at::NoGradGuard no_grad;
    const at::Tensor tokens = make_tokens(2, 14, config.vocab);
    ForwardContext context;
    if (config.is_latent() && config.architecture != "perceiver_ar") {  // some rows see what follows them
      context.document_start = at::zeros({2, 14}, at::kInt);
      EXPECT_THAT(error_of([&] { model->logits(tokens, context); }), HasSubstr("can't keep documents apart"));
      continue;
    }
    context.document_start = at::zeros({2, 14}, at::kInt);
    context.document_start->select(0, 0).slice(0, 5).fill_(5);  // at a block's start
    context.document_start->select(0, 1).slice(0, 9).fill_(9);
    const at::Tensor packed = model->logits(tokens, context);
    // Where blocks are counted in the window and the document begins within one, a document alone is cut
    // elsewhere; the plain computation says what is right.
    const NaiveModel naive(config, wide_weights(*model));
    for (std::int64_t b = 0; b < 2; ++b) {
      EXPECT_LE(largest_difference(packed[b], naive.logits(tokens[b], (*context.document_start)[b])), 2e-5)
          << name_of(config);
    }
    // Belongs to the window's first block, not the document's; groups and latents are the window's.
    const std::string& is = config.architecture;
    if (config.first_block_output || is == "shifted" || config.is_latent()) continue;
    const at::Tensor alone = model->logits(tokens.slice(0, 0, 1).slice(1, 5));
    EXPECT_LE(largest_difference(packed.slice(0, 0, 1).slice(1, 5), alone), 1e-5) << name_of(config);
    // And the next pass without documents is not touched by the last one's positions.
    EXPECT_LE(largest_difference(model->logits(tokens)[0], naive.logits(tokens[0])), 2e-5);
  }
}

TEST(LanguageModel, PackedDocumentsBeyondTheTrainedLengthNeedPlainValues) {
  const ModelConfig config = small("ecp", "paper");
  const auto model = make_model(config);
  ForwardContext context;
  context.document_start = at::zeros({1, 20}, at::kInt);
  EXPECT_THAT(error_of([&] { model->logits(make_tokens(1, 20, config.vocab), context); }),
              HasSubstr("expected at most 15 tokens with packed documents and rotated values, got 20"));
}

TEST(LanguageModel, NegativeLogLikelihoodsAddUpToTheLoss) {
  ModelConfig config = small("ecp", "paper");
  config.vocab = 5000;  // logits of 600 rows: more than one chunk
  const auto model = make_model(config);
  const at::Tensor tokens = make_tokens(2, 301, config.vocab);
  const at::Tensor each = model->negative_log_likelihood(tokens);
  EXPECT_EQ(each.sizes(), at::IntArrayRef({2, 300}));
  EXPECT_FALSE(each.requires_grad());
  const at::Tensor loss = model->loss_sum(tokens);
  const at::Tensor logits = model->logits(tokens.slice(1, 0, 300));
  const at::Tensor want = at::nll_loss(at::log_softmax(logits.flatten(0, 1).to(at::kDouble), -1),
                                       tokens.slice(1, 1).flatten(), {}, at::Reduction::None)
                              .view({2, 300});
  EXPECT_LE(largest_difference(each, want), 1e-5);
  EXPECT_NEAR(loss.item<double>(), want.sum().item<double>(), 1e-6 * want.sum().item<double>());

  const at::Tensor weight = model->named_parameters()["classifier.weight"];
  const at::Tensor from_logits = torch::autograd::grad({want.sum()}, {weight})[0];
  loss.backward();
  EXPECT_LE(largest_difference(weight.grad(), from_logits), 1e-4 * from_logits.abs().max().item<double>());
}

TEST(LanguageModel, GradientsOfTheLossAreScaledByWhatFollows) {
  const ModelConfig config = small("full", "modern");
  const at::Tensor tokens = make_tokens(1, 9, config.vocab);
  const auto gradient = [&](double factor) {
    const auto model = make_model(config);
    (model->loss_sum(tokens) * factor).backward();
    return model->named_parameters()["embedding.weight"].grad();
  };
  EXPECT_LE(largest_difference(gradient(0.25), gradient(1) * 0.25), 1e-6);
}

TEST(LanguageModel, TheLossGivesItsGradientsOnce) {
  const auto model = make_model(small("ecp", "paper"));
  const at::Tensor loss = model->loss_sum(make_tokens(1, 9, model->config().vocab));
  loss.backward({}, /*retain_graph=*/true);
  EXPECT_THAT(error_of([&] { loss.backward(); }), HasSubstr("expected one backward pass, got a second"));
}

TEST(LanguageModel, APassLeavesTheWeightsAsTheyWere) {
  for (const ModelConfig& config : many()) {
    const auto model = make_model(config);
    const auto before = wide_weights(*model);
    for (const bool bfloat16 : {false, true}) {
      ForwardContext context;
      context.bfloat16 = bfloat16;
      model->loss_sum(make_tokens(1, 2, config.vocab), context).backward();  // one row: the smallest matrix
      model->negative_log_likelihood(make_tokens(1, 2, config.vocab), context);
      model->last_logits(make_tokens(1, 1, config.vocab), context);
    }
    for (const auto& item : model->named_parameters())
      EXPECT_EQ(largest_difference(item.value(), before.at(item.key())), 0)
          << name_of(config) << " " << item.key();
  }
}

TEST(LanguageModel, SaysWhatIsWrongWithTokens) {
  const ModelConfig config = small("ecp", "modern");
  const auto model = make_model(config);
  const auto error = [&](const at::Tensor& tokens) { return error_of([&] { model->hidden(tokens); }); };
  EXPECT_THAT(error(at::full({1, 3}, 19, at::kLong)),
              HasSubstr("expected tokens from 0 to 18, got 19 to 19"));
  EXPECT_THAT(error(at::full({1, 3}, -1, at::kLong)),
              HasSubstr("expected tokens from 0 to 18, got -1 to -1"));
  EXPECT_THAT(error(at::zeros({3}, at::kLong)), HasSubstr("expected tokens as int64 [B, n]"));
  EXPECT_THAT(error(at::zeros({1, 3}, at::kInt)), HasSubstr("expected tokens as int64 [B, n]"));
  EXPECT_THAT(error(at::zeros({1, 0}, at::kLong)), HasSubstr("expected tokens as int64 [B, n]"));
  EXPECT_THAT(error_of([&] { model->loss_sum(at::zeros({1, 1}, at::kLong)); }), HasSubstr("[B, n+1]"));
}

TEST(LanguageModel, ForgetsMemoryOfLogitsAndScores) {
  // Logits of 2 × 4096 rows and 4096 tokens would be 134 MB, scores of one layer 134 MB.
  ModelConfig config = small("ecp", "modern");
  config.vocab = 4096;
  config.sequence = 4096;
  config.block = 64;
  const auto model = make_model(config);
  const at::Tensor tokens = make_tokens(2, 4097, config.vocab);
  model->loss_sum(make_tokens(2, 65, config.vocab)).backward();  // brings the libraries' code into memory
  const std::uint64_t before = peak_memory();
  model->loss_sum(tokens).backward();
  EXPECT_LT(peak_memory() - before, 100u << 20);
}

}  // namespace
}  // namespace ecp
