// The classifier against the plain float64 computation, and what it refuses.
#include "ecp/model/classifier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <map>
#include <string>

#include "ecp/model/language_model.h"
#include "tests/model/model_fixture.h"
#include "tests/model/naive_model.h"
#include "tests/support/errors.h"

namespace ecp {
namespace {

using test::error_of;
using test::NaiveModel;
using ::testing::HasSubstr;

ModelConfig classifier_config(const std::string& architecture, const std::string& preset,
                              const std::string& pooling) {
  ModelConfig config = test::small(architecture, preset);
  config.classes = 7;
  config.pooling = pooling;
  apply_preset(config);
  config.dropout = 0;
  return config;
}

std::vector<ModelConfig> all_classifiers() {
  std::vector<ModelConfig> all;
  for (const char* architecture : {"ecp", "full"}) {
    for (const char* preset : {"paper", "modern"}) {
      for (const char* pooling : {"mean", "last"})
        all.push_back(classifier_config(architecture, preset, pooling));
    }
    all.push_back(classifier_config(architecture, "paper", "mean"));
    all.back().causal = false;
  }
  return all;
}

/// Initialised and moved away from special values.
void perturb(Classifier& model) {
  model.initialize(1);
  const at::NoGradGuard no_grad;
  std::uint64_t parameter = 0;
  for (at::Tensor& tensor : model.parameters()) {
    float* data = tensor.mutable_data_ptr<float>();
    for (std::int64_t i = 0; i < tensor.numel(); ++i)
      data[i] += 0.4F * static_cast<float>(random_uniform(3, parameter, static_cast<std::uint64_t>(i)) - 0.5);
    ++parameter;
  }
}

std::map<std::string, at::Tensor> wide(const Classifier& model) {
  std::map<std::string, at::Tensor> weights;
  for (const auto& item : model.named_parameters())
    weights[item.key()] = item.value().detach().to(at::kDouble).requires_grad_();
  return weights;
}

/// The classes' logits of one input. The classifier is linear: of the mean row it is the mean over all rows.
at::Tensor naive_logits(const NaiveModel& naive, const ModelConfig& config, const at::Tensor& tokens_N) {
  const at::Tensor rows = naive.logits(tokens_N);
  return config.pooling == "last" ? rows[-1] : rows.mean(0);
}

TEST(Classifier, AgreesWithThePlainComputation) {
  for (const ModelConfig& config : all_classifiers()) {
    SCOPED_TRACE(test::name_of(config) + " " + config.pooling);
    Classifier model(config);
    perturb(model);
    const NaiveModel naive(config, wide(model));
    const at::Tensor tokens = test::make_tokens(3, 13, config.vocab);
    const at::NoGradGuard no_grad;
    const at::Tensor logits = model.logits(tokens);
    ASSERT_EQ(logits.sizes(), (at::IntArrayRef{3, 7}));
    for (std::int64_t b = 0; b < 3; ++b)
      EXPECT_LT(test::largest_difference(logits[b], naive_logits(naive, config, tokens[b])), 2e-5);
  }
}

TEST(Classifier, GradientsAgreeWithThePlainComputation) {
  for (const ModelConfig& config : all_classifiers()) {
    SCOPED_TRACE(test::name_of(config) + " " + config.pooling);
    Classifier model(config);
    perturb(model);
    auto weights = wide(model);
    const at::Tensor tokens = test::make_tokens(4, 11, config.vocab);
    const at::Tensor labels = at::tensor({0, 6, 3, 3}, at::kLong);
    model.loss_sum(tokens, labels).backward();

    const NaiveModel naive(config, weights);
    at::Tensor sum = at::zeros({}, at::kDouble);
    for (std::int64_t b = 0; b < 4; ++b)
      sum = sum - at::log_softmax(naive_logits(naive, config, tokens[b]), 0)[labels[b].item<std::int64_t>()];
    sum.backward();
    EXPECT_NEAR(model.loss_sum(tokens, labels).item<double>(), sum.item<double>(), 1e-4);
    for (const auto& item : model.named_parameters()) {
      const at::Tensor expected = weights[item.key()].grad();
      if (!expected.defined()) continue;  // the authors' unused parameters
      const double scale = std::max(1e-3, expected.abs().max().item<double>());
      EXPECT_LT(test::largest_difference(item.value().grad(), expected) / scale, 2e-4) << item.key();
    }
  }
}

TEST(Classifier, HasItsOwnParameters) {
  const ModelConfig config = classifier_config("ecp", "modern", "mean");
  EXPECT_FALSE(config.tie_embeddings) << "nothing is tied to an embedding of pixels";
  const Classifier model(config);
  const auto named = model.named_parameters();
  EXPECT_EQ(named["classifier.weight"].sizes(), (at::IntArrayRef{7, 12}));
  EXPECT_EQ(named["classifier.bias"].sizes(), (at::IntArrayRef{7}));
}

TEST(Classifier, RefusesWhatIsNot) {
  ModelConfig config = classifier_config("ecp", "modern", "mean");
  EXPECT_EQ(error_of([&] { const LanguageModel model(config); }),
            "model.classes: expected 0 for a language model, got 7");
  Classifier model(config);
  model.initialize(1);
  const at::Tensor tokens = test::make_tokens(2, 5, config.vocab);
  EXPECT_THAT(error_of([&] {
                model.loss_sum(tokens, at::tensor({0, 7}, at::kLong));
              }),
              HasSubstr("expected labels from 0 to 6, got 0 to 7"));
  EXPECT_THAT(error_of([&] { model.loss_sum(tokens, at::tensor({0}, at::kLong)); }),
              HasSubstr("expected a label as int64 for each"));
  config.classes = 0;
  EXPECT_EQ(error_of([&] { const Classifier none(config); }),
            "model.classes: expected at least 2 for a classifier, got 0");
}

}  // namespace
}  // namespace ecp
