// Parameters: counts, names, initial values, loading.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

#include "ecp/model/initialize.h"
#include "ecp/model/language_model.h"
#include "tests/model/model_fixture.h"
#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"

namespace ecp {
namespace {

using namespace ecp::test;
using testing::HasSubstr;

TEST(Parameters, CountsAreThoseOfTheAuthorsModels) {
  const std::vector<std::pair<std::int64_t, std::int64_t>> counts{
      {6, 87'087'940}, {12, 129'607'492}, {18, 172'127'044}, {24, 214'646'596}};
  for (const auto& [layers, count] : counts) {
    ModelConfig config = small("ecp", "paper");
    config.vocab = 28996;
    config.dim = 768;
    config.heads = 6;
    config.layers = layers;
    config.ffn_dim = 0;
    const LanguageModel model(config);  // memory that nothing touches
    std::int64_t sum = 0;
    for (const at::Tensor& tensor : model.parameters()) sum += tensor.numel();
    EXPECT_EQ(sum, count) << layers << " layers";
  }
}

TEST(Parameters, StandInTheModuleAsInTheTable) {
  for (const ModelConfig& config : all_small()) {
    const LanguageModel model(config);
    const auto named = model.named_parameters();
    ASSERT_EQ(named.size(), model.table().size());
    for (std::size_t i = 0; i < model.table().size(); ++i) {
      EXPECT_EQ(named[i].key(), model.table()[i].name);
      EXPECT_EQ(named[i].value().sizes(), at::IntArrayRef(model.table()[i].shape));
      EXPECT_TRUE(named[i].value().requires_grad());
    }
  }
}

TEST(Initialize, DependsOnSeedAndNameOnly) {
  const Parameter parameter{"layers.0.attention.q.weight", {40, 30}, Initializer::normal, 0.02, true};
  const auto values = [](const Parameter& of, std::uint64_t seed) {
    at::Tensor tensor = at::empty(of.shape);
    initialize_parameter(tensor, of, seed);
    return tensor;
  };
  Parameter other = parameter;
  other.name = "layers.1.attention.q.weight";
  EXPECT_TRUE(at::equal(values(parameter, 3), values(parameter, 3)));
  EXPECT_FALSE(at::equal(values(parameter, 3), values(parameter, 4)));
  EXPECT_FALSE(at::equal(values(parameter, 3), values(other, 3)));

  // A deeper model begins with the same first layers; nothing comes from LibTorch's own generator.
  ModelConfig config = small("ecp", "paper");
  LanguageModel shallow(config);
  config.layers = 4;
  LanguageModel deep(config);
  torch::manual_seed(1);
  shallow.initialize(7);
  torch::manual_seed(2);
  at::set_num_threads(1);
  deep.initialize(7);
  for (const auto& item : shallow.named_parameters()) {
    EXPECT_TRUE(at::equal(item.value(), deep.named_parameters()[item.key()])) << item.key();
  }
}

TEST(Initialize, FollowsTheTable) {
  ModelConfig config = small("ecp", "paper");
  config.vocab = 400;
  config.dim = 100;
  config.heads = 2;
  LanguageModel paper(config);
  paper.initialize(1);
  const auto stands = [](const LanguageModel& model, const std::string& name) {
    return model.named_parameters()[name];
  };
  EXPECT_NEAR(stands(paper, "embedding.weight").std().item<double>(), 1, 0.02);
  EXPECT_NEAR(stands(paper, "embedding.weight").mean().item<double>(), 0, 0.02);
  const at::Tensor q = stands(paper, "layers.0.attention.q.weight");  // U(±1/√100)
  EXPECT_LE(q.abs().max().item<double>(), 0.1);
  EXPECT_GT(q.abs().max().item<double>(), 0.0999);
  EXPECT_NEAR(q.std().item<double>(), 0.1 / std::sqrt(3.0), 0.002);
  EXPECT_LE(stands(paper, "layers.1.ffn.down.bias").abs().max().item<double>(), 1 / std::sqrt(10.0));
  EXPECT_TRUE(at::equal(stands(paper, "norm.weight"), at::ones({100})));
  EXPECT_TRUE(at::equal(stands(paper, "norm.bias"), at::zeros({100})));

  config.preset = "modern";
  apply_preset(config);
  LanguageModel modern(config);
  modern.initialize(1);
  EXPECT_NEAR(stands(modern, "embedding.weight").std().item<double>(), 0.02, 0.001);
  EXPECT_NEAR(stands(modern, "layers.0.attention.q.weight").std().item<double>(), 0.02, 0.001);
  EXPECT_NEAR(stands(modern, "layers.0.attention.out.weight").std().item<double>(), 0.01,
              0.001);  // 0.02 / √4
}

TEST(Weights, GoOutAndComeBackBitForBit) {
  for (const ModelConfig& config : all_small()) {
    const auto model = make_model(config, 3);
    const TemporaryFolder folder;
    write_safetensors(folder / "w.safetensors", model->weights());
    LanguageModel other(config);
    other.load(SafetensorsFile(folder / "w.safetensors"));
    for (const auto& item : model->named_parameters()) {
      EXPECT_TRUE(at::equal(item.value(), other.named_parameters()[item.key()])) << item.key();
    }
    const at::Tensor tokens = make_tokens(1, 15, config.vocab);
    EXPECT_TRUE(at::equal(model->logits(tokens), other.logits(tokens)));
  }
}

TEST(Weights, OfAnotherModelAreRefused) {
  const TemporaryFolder folder;
  const auto paper = make_model(small("ecp", "paper"));
  write_safetensors(folder / "w.safetensors", paper->weights());
  const TensorSet file = SafetensorsFile(folder / "w.safetensors");
  LanguageModel modern(small("ecp", "modern"));
  EXPECT_THAT(error_of([&] { modern.load(file); }), HasSubstr("w.safetensors"));
  ModelConfig wider = small("ecp", "paper");
  wider.ffn_dim = 12;
  LanguageModel other(wider);
  EXPECT_THAT(error_of([&] { other.load(file); }), HasSubstr("layers.0.ffn.up.weight"));
}

TEST(Weights, ConfigurationsThatDontFitAreRefused) {
  ModelConfig config = small("ecp", "modern");
  config.heads = 5;
  EXPECT_THAT(error_of([&] { LanguageModel model(config); }), HasSubstr("model.heads"));
  config = small("ecp", "modern");
  config.vocab = 0;
  EXPECT_THAT(error_of([&] { LanguageModel model(config); }), HasSubstr("model.vocab"));
}

}  // namespace
}  // namespace ecp
