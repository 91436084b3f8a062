#include "ecp/config/config_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <string>
#include <vector>

#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"

namespace ecp {
namespace {

using test::error_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string smallest = "[data]\ntrain = \"a.npy\"\n";

std::string error_in(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return error_of([&] { parse_config(text, "f.toml", overrides); });
}

TEST(ConfigFile, DefaultsAreTheModernPreset) {
  const Config config = parse_config(smallest, "f.toml");
  EXPECT_EQ(config.model.preset, "modern");
  EXPECT_EQ(config.model.architecture, "ecp");
  EXPECT_EQ(config.model.norm, "rms");
  EXPECT_EQ(config.model.ffn, "swiglu");
  EXPECT_FALSE(config.model.shared_kv);
  EXPECT_THAT(config.data.train, ElementsAre("a.npy"));
}

TEST(ConfigFile, PresetThenFileThenOverrides) {
  const std::string text = smallest + "[model]\ndropout = 0.1\nnorm_eps = 1e-6\npreset = \"paper\"\n";
  const Config config = parse_config(text, "f.toml", {"model.dropout=0.2", "train.lr=3e-4"});
  EXPECT_EQ(config.model.ffn, "gelu") << "from the preset";
  EXPECT_TRUE(config.model.first_block_output) << "from the preset";
  EXPECT_EQ(config.model.norm_eps, 1e-6) << "the file goes over the preset, whatever the order of its lines";
  EXPECT_EQ(config.model.dropout, 0.2) << "an override goes over the file";
  EXPECT_EQ(config.train.lr, 3e-4);

  const Config other = parse_config(text, "f.toml", {"model.preset=modern"});
  EXPECT_EQ(other.model.ffn, "swiglu") << "an overridden preset decides what the file leaves open";
  EXPECT_EQ(other.model.dropout, 0.1);
  EXPECT_EQ(parse_config(text, "f.toml", {"model.dropout=0.2", "model.dropout=0.3"}).model.dropout, 0.3)
      << "the last override wins";
}

TEST(ConfigFile, ThePaperPresetDependsOnTheArchitecture) {
  const std::string text = smallest + "[model]\npreset = \"paper\"\n";
  EXPECT_EQ(parse_config(text, "f.toml").model.qk_norm, "layer_unused");
  const Config full = parse_config(text, "f.toml", {"model.architecture=full"});
  EXPECT_EQ(full.model.qk_norm, "none");
  EXPECT_FALSE(full.model.first_block_output);
}

TEST(ConfigFile, ResolvedFilesReadBackTheSame) {
  for (const char* preset : {"paper", "modern"}) {
    const Config config = parse_config(
        smallest + "weights = [2]\n[train]\nsample_prompt = \"It is \\\"a\\\"\\ntruth é\"\nlr = 1\n",
        "f.toml", {std::string("model.preset=") + preset, "train.seed=4611686018427387903"});
    for (const bool help : {false, true}) {
      const std::string text = to_toml(config, help);
      const Config again = parse_config(text, "again.toml");
      EXPECT_EQ(to_toml(again, help), text);
      EXPECT_EQ(again.train.sample_prompt, config.train.sample_prompt);
      EXPECT_EQ(again.train.seed, 4611686018427387903);
    }
  }
}

TEST(ConfigFile, NumbersRoundTripExactly) {
  EXPECT_TRUE(rc::check("any learning rate survives writing and reading", [] {
    Config config = parse_config(smallest, "f.toml");
    config.train.lr = *rc::gen::map(rc::gen::inRange(0, 1 << 30), [](int i) { return i * 1.1e-9; });
    config.train.eps = 1.0 / (1 + *rc::gen::inRange(0, 1 << 30));
    const Config again = parse_config(to_toml(config), "again.toml");
    RC_ASSERT(again.train.lr == config.train.lr);
    RC_ASSERT(again.train.eps == config.train.eps);
  }));
}

TEST(ConfigFile, ErrorsNameFileAndLine) {
  EXPECT_EQ(error_in(smallest + "[train]\n\nstep = 5\n"),
            "f.toml:5: unknown key 'train.step' (did you mean 'steps'?)");
  EXPECT_EQ(error_in(smallest + "[trian]\nsteps = 5\n"),
            "f.toml:4: unknown section [trian] (did you mean 'train'?)");
  EXPECT_EQ(error_in(smallest + "[trian]\n"), "f.toml:3: unknown section [trian] (did you mean 'train'?)")
      << "an empty section as well";
  EXPECT_EQ(error_in(smallest + "[model]\ndim = 1\n"), "f.toml:4: model.dim: expected 2 to 65536, got 1");
  EXPECT_EQ(error_in(smallest + "[model]\ndim = \"wide\"\n"),
            "f.toml:4: model.dim: expected a whole number, got 'wide'");
  EXPECT_EQ(error_in(smallest + "[model]\npreset = \"papper\"\n"),
            "f.toml:4: model.preset: expected paper or modern, got 'papper' (did you mean 'paper'?)");
  EXPECT_EQ(error_in("steps = 5\n" + smallest),
            "f.toml:1: 'steps' stands outside of a section such as [train]");
  EXPECT_THAT(error_in(smallest + "[model\n"), HasSubstr("f.toml:3: "));
  EXPECT_THAT(error_in(smallest + "[train]\nlr = 1e-3\nlr = 1e-4\n"), HasSubstr("f.toml:5: "));
  EXPECT_EQ(error_in(smallest + "[train]\nlr = 1979-05-27\n"),
            "f.toml:4: train.lr: expected a number, a string, true, false or a list of one kind");
  EXPECT_EQ(error_in("[data]\ntrain = [\"a\", 1]\n"),
            "f.toml:2: data.train: expected a number, a string, true, false or a list of one kind");
  EXPECT_THAT(error_in(smallest + "[train]\nlr = nan\n"), HasSubstr("f.toml:4: train.lr: expected 0 to 100"));
}

TEST(ConfigFile, LettersWhereNoneBelongAreAnError) {
  // toml++ asks whether they are white space; its answer for U+00A1 to U+049A was undefined behaviour.
  for (const std::string letter : {"\u0143", "\u00a1", "\u049a", "\u4e00"}) {
    for (const char* line : {"dim = 32%", "dim =%", "%dim = 2", "dim % = 2"}) {
      std::string text = std::string("[model]\n") + line;
      text.replace(text.find('%'), 1, letter);
      EXPECT_THROW(parse_config(text + "\n", "f.toml"), Error) << text;
    }
  }
}

TEST(ConfigFile, OverridesAreAsStrictAsFiles) {
  EXPECT_EQ(error_in(smallest, {"train.step=5"}), "--set: unknown key 'train.step' (did you mean 'steps'?)");
  EXPECT_EQ(error_in(smallest, {"trian.steps=5"}), "--set: unknown section [trian] (did you mean 'train'?)");
  EXPECT_EQ(error_in(smallest, {"steps=5"}), "--set: expected section.key=value, got 'steps=5'");
  EXPECT_EQ(error_in(smallest, {"train.steps"}), "--set: expected section.key=value, got 'train.steps'");
  EXPECT_EQ(error_in(smallest, {"train.steps=0"}), "--set: train.steps: expected 1 to 1099511627776, got 0");
  EXPECT_EQ(error_in(smallest, {"train.steps=many"}),
            "--set: train.steps: expected a whole number, got 'many'");
}

TEST(ConfigFile, SectionsMustFitTogether) {
  EXPECT_EQ(error_in("[train]\nsteps = 5\n"), "f.toml: data.train: expected at least one token file");
  EXPECT_EQ(error_in("[data]\ntrain = [\"a\", \"b\"]\nweights = [1]\n"),
            "f.toml: data.weights: expected 2 numbers, one per file of data.train, got 1");
  EXPECT_EQ(error_in("[data]\ntrain = [\"a\"]\nweights = [0]\n"),
            "f.toml: data.weights: expected a positive sum, got 0");
  EXPECT_EQ(error_in(smallest + "[model]\nsequence = 64\n[eval]\ncontext = 64\n"),
            "f.toml: eval.context: expected less than model.sequence 64, got 64");
}

TEST(ConfigFile, FilesAreRead) {
  const test::TemporaryFolder folder;
  write_file(folder / "run.toml", smallest + "[train]\nsteps = 7\n");
  EXPECT_EQ(read_config(folder / "run.toml").train.steps, 7);
  EXPECT_THAT(error_of([&] { read_config(folder / "missing.toml"); }), HasSubstr("missing.toml"));
}

TEST(ModelJson, RoundTrips) {
  for (const char* preset : {"paper", "modern"}) {
    for (const char* architecture : {"ecp", "full"}) {
      ModelConfig config;
      config.preset = preset;
      config.architecture = architecture;
      apply_preset(config);
      config.vocab = 300;
      config.dropout = 0.123456789012345;
      const std::string text = to_json(config);
      const ModelConfig again = parse_model_json(text, "config.json");
      EXPECT_EQ(to_json(again), text);
      EXPECT_EQ(again.vocab, 300);
      EXPECT_EQ(again.dropout, config.dropout);
      EXPECT_EQ(again.architecture, architecture);
    }
  }
}

TEST(ModelJson, StrangersFilesAreChecked) {
  const auto error = [](const std::string& text) {
    return error_of([&] { parse_model_json(text, "c.json"); });
  };
  const auto with = [](const std::string& model) {
    return R"({"format": "ecp-model", "version": 1, "model": )" + model + "}";
  };
  EXPECT_EQ(error(with(R"({"vocab": 8})")), "");
  EXPECT_EQ(error(""), "c.json: expected a JSON object");
  EXPECT_EQ(error("[1]"), "c.json: expected a JSON object");
  EXPECT_EQ(error("{\"format\": "), "c.json: expected a JSON object");
  EXPECT_EQ(error("{}"), "c.json: expected \"format\": \"ecp-model\" and \"version\": 1");
  EXPECT_EQ(error(R"({"format": "ecp-model", "version": 2, "model": {}})"),
            "c.json: expected \"format\": \"ecp-model\" and \"version\": 1");
  EXPECT_EQ(error(R"({"format": "ecp-model", "version": 1})"), "c.json: expected an object \"model\"");
  EXPECT_EQ(error(with(R"({"vocabulary": 8})")),
            "c.json: unknown key 'model.vocabulary' (did you mean 'vocab'?)");
  EXPECT_EQ(error(with(R"({"layer": 8})")), "c.json: unknown key 'model.layer' (did you mean 'layers'?)");
  EXPECT_EQ(error(with(R"({"vocab": "8"})")), "c.json: model.vocab: expected a whole number, got '8'");
  EXPECT_EQ(error(with(R"({"vocab": 8.5})")), "c.json: model.vocab: expected a whole number, got 8.5");
  EXPECT_THAT(error(with(R"({"vocab": 18446744073709551615})")), HasSubstr("c.json: model.vocab: expected"));
  EXPECT_THAT(error(with(R"({"vocab": [8]})")), HasSubstr("got array"));
  EXPECT_EQ(error(with(R"({"dim": 10, "heads": 4})")),
            "c.json: model.heads: expected a divisor of model.dim 10, got 4");
}

}  // namespace
}  // namespace ecp
