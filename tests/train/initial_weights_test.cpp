#include "ecp/train/initial_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <functional>

#include "ecp/model/language_model.h"
#include "ecp/train/checkpointing.h"
#include "ecp/train/run_folder.h"
#include "tests/train/training.h"

namespace ecp {
namespace {

using test::error_of;
using test::Training;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

ModelConfig trained(const Training& training) { return read_config(training.run() / "config.toml").model; }

TEST(InitialWeights, AreTheCheckpointsAtAnotherLength) {
  Training training;
  train(training.config, training.run());
  ModelConfig config = trained(training);
  config.sequence = 64;
  config.dropout = 0.3;
  LanguageModel model(config);
  const std::string hash = byte_tokenizer()->hash();
  EXPECT_THAT(load_initial_weights(model, training.run(), hash), IsEmpty());
  const Path best = training.checkpoint("best/model.safetensors");
  for (const NamedTensor& tensor : model.weights()) {
    EXPECT_EQ(tensor.view.to_float(), SafetensorsFile(best).at(tensor.name).to_float()) << tensor.name;
  }

  training.config.train.init = training.run().string();
  training.config.model.sequence = 32;
  training.config.train.steps = 3;
  EXPECT_EQ(train(training.config, training.run("longer")).step, 3);
}

TEST(InitialWeights, NameTheFirstDifference) {
  Training training;
  train(training.config, training.run());
  const std::string hash = byte_tokenizer()->hash();
  const auto refuses = [&](const std::function<void(ModelConfig&)>& change, const std::string& message) {
    ModelConfig config = trained(training);
    change(config);
    LanguageModel model(config);
    EXPECT_THAT(error_of([&] { load_initial_weights(model, training.run(), hash); }), HasSubstr(message));
  };
  refuses([](ModelConfig& c) { c.dim = 32; }, "model.dim: expected 16 as in the checkpoint, got 32");
  refuses([](ModelConfig& c) { c.heads = 4; }, "model.heads: expected 2 as in the checkpoint, got 4");
  refuses([](ModelConfig& c) { c.layers = 3; }, "model.layers: expected 2 as in the checkpoint, got 3");
  refuses([](ModelConfig& c) { c.ffn_dim = 128; },
          "model.ffn_dim: expected 64 as in the checkpoint, got 128");
  refuses([](ModelConfig& c) { c.tie_embeddings = false; }, "model.tie_embeddings: expected true");
  LanguageModel model(trained(training));
  EXPECT_THAT(error_of([&] { load_initial_weights(model, training.run(), "other"); }),
              HasSubstr("its tokenizer isn't the training data's"));
}

TEST(InitialWeights, WarnAboutWhatComputesDifferently) {
  Training training;
  train(training.config, training.run());
  ModelConfig config = trained(training);
  config.block = 8;
  config.rope_theta = 50000;
  config.kv_heads = 2;  // what 0 meant
  LanguageModel model(config);
  EXPECT_THAT(
      load_initial_weights(model, training.run(), byte_tokenizer()->hash()),
      ElementsAre(HasSubstr("model.block is 4 in the checkpoint, 8 here"), HasSubstr("model.rope_theta")));
}

TEST(Trainer, StopsWhenTheLossIsNotFinite) {
  Training training;
  ModelConfig config = training.config.model;
  config.vocab = 256;
  LanguageModel model(config);
  model.initialize(1);
  {
    const at::NoGradGuard no_grad;
    model.named_parameters()["norm.weight"].fill_(std::nanf(""));
  }
  const AdamW optimizer(training.config.train, {{"x", at::zeros({1}), false}});
  save_checkpoint(training.folder / "broken", model, optimizer, {}, TrainingState());
  training.config.train.init = (training.folder / "broken").string();
  training.config.train.most_skipped = 2;
  EXPECT_THAT(error_of([&] { train(training.config, training.run()); }),
              HasSubstr("training stopped at step 3: loss is nan"));
  EXPECT_THAT(RunFolder(training.run()).steps(), IsEmpty()) << "nothing broken is kept";
}

}  // namespace
}  // namespace ecp
