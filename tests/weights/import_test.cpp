// Import of the authors' models from files that torch.save wrote.
#include "ecp/weights/import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>

#include "ecp/base/error.h"
#include "ecp/config/config_file.h"
#include "ecp/config/parameters.h"
#include "ecp/weights/checkpoint.h"
#include "tests/support/damage.h"
#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/torch_writer.h"

namespace ecp {
namespace {

using test::error_of;
using testing::AllOf;
using testing::HasSubstr;
namespace p = test::pickle;

/// An ecp model as the authors name its tensors: vocab 5, dim 8, 2 layers, 2 heads.
class Authors {
 public:
  Authors() {
    const std::int64_t vocab = 5, dim = 8, head = 4;
    add("token_emb.weight", {vocab, dim});
    for (const std::string layer : {"layers.0.", "layers.1."}) {
      for (const char* norm : {"0.norm.weight", "0.norm.bias", "1.norm.weight", "1.norm.bias"})
        add(layer + norm, {dim});
      add(layer + "0.fn.norm.weight", {head});
      add(layer + "0.fn.norm.bias", {head});
      add(layer + "0.fn.pos_emb.freqs", {head / 2});
      add(layer + "0.fn.to_q.weight", {dim, dim});
      add(layer + "0.fn.to_kv.weight", {dim, dim});
      for (const char* out : {"0.fn.to_out.", "0.fn.to_out_0."}) {
        add(layer + out + "weight", {dim, dim});
        add(layer + out + "bias", {dim});
      }
      add(layer + "1.fn.net.0.weight", {4 * dim, dim});
      add(layer + "1.fn.net.0.bias", {4 * dim});
      add(layer + "1.fn.net.3.weight", {dim, 4 * dim});
      add(layer + "1.fn.net.3.bias", {dim});
    }
    add("to_logits.0.weight", {dim});
    add("to_logits.0.bias", {dim});
    add("to_logits.1.weight", {vocab, dim});
    add("to_logits.1.bias", {vocab});
  }

  /// Adds a tensor, or gives it another shape.
  void add(const std::string& name, const std::vector<std::int64_t>& shape) {
    std::vector<float>& values = values_[name];
    std::int64_t count = 1;
    for (const std::int64_t extent : shape) count *= extent;
    values.resize(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(values_.size()) + static_cast<float>(i) / 64;
    tensors_[name] = {DType::f32, shape, std::as_bytes(std::span(values))};
  }
  void remove(const std::string& name) { tensors_.erase(name); }
  [[nodiscard]] const std::map<std::string, TensorView>& tensors() const { return tensors_; }
  [[nodiscard]] std::string file() const {
    const test::StateDict dict = test::state_dict(tensors_);
    return test::torch_file(dict.value, dict.storages);
  }

 private:
  std::map<std::string, std::vector<float>> values_;
  std::map<std::string, TensorView> tensors_;
};

ModelConfig config_of(const Authors& authors, const std::vector<std::string>& overrides) {
  const std::string bytes = authors.file();
  const TorchFile file(std::as_bytes(std::span(bytes)), "x.pt");
  return import_authors(file, overrides).config;
}

std::string message_of(const Authors& authors, const std::vector<std::string>& overrides) {
  return error_of([&] { config_of(authors, overrides); });
}

const std::vector<std::string> given = {"model.sequence=32", "model.block=8"};

TEST(ImportTorch, NamesAndShapesTellTheRest) {
  const Authors authors;
  ModelConfig config = config_of(authors, given);
  ModelConfig expected;
  expected.preset = "paper";
  expected.architecture = "ecp";
  apply_preset(expected);
  expected.vocab = 5;
  expected.dim = 8;
  expected.layers = 2;
  expected.heads = 2;
  expected.sequence = 32;
  expected.block = 8;
  EXPECT_EQ(to_json(config), to_json(expected));
  EXPECT_EQ(config_of(authors, {"model.sequence=32", "model.block=8", "model.dropout=0.25", "model.dim=8",
                                "model.architecture=ecp"})
                .dropout,
            0.25);
}

TEST(ImportTorch, WritesACheckpointOfTheSameValues) {
  const Authors authors;
  const test::TemporaryFolder folder;
  test::overwrite(folder / "authors.pt", authors.file());
  import_checkpoint(folder / "authors.pt", folder / "out", given);
  const Checkpoint checkpoint(folder / "out");
  const TensorSet weights = checkpoint.weights();
  EXPECT_EQ(weights.tensors().size(), parameters(checkpoint.model()).size());
  for (const auto& [ours, theirs] : {std::pair("embedding.weight", "token_emb.weight"),
                                     {"layers.1.attention.out_0.bias", "layers.1.0.fn.to_out_0.bias"},
                                     {"layers.0.ffn.down.weight", "layers.0.1.fn.net.3.weight"},
                                     {"classifier.bias", "to_logits.1.bias"}}) {
    EXPECT_EQ(weights.at(ours).to_float(), authors.tensors().at(theirs).to_float()) << ours;
  }
  EXPECT_THAT(error_of([&] { import_checkpoint(folder / "authors.pt", folder / "out", given); }),
              HasSubstr("it exists"));
}

TEST(ImportTorch, AnotherWidthOfTheFeedForwardIsSeen) {
  Authors authors;
  for (const std::string layer : {"layers.0.", "layers.1."}) {
    authors.add(layer + "1.fn.net.0.weight", {12, 8});
    authors.add(layer + "1.fn.net.0.bias", {12});
    authors.add(layer + "1.fn.net.3.weight", {8, 12});
  }
  EXPECT_EQ(config_of(authors, given).ffn_dim, 12);
}

TEST(ImportTorch, WhatIsMissingIsNamedWithAnExample) {
  const Authors authors;
  EXPECT_EQ(message_of(authors, {}),
            "x.pt: the weights don't tell model.sequence, model.block: give them, such as --set "
            "model.sequence=2048 --set model.block=256");
  EXPECT_EQ(message_of(authors, {"model.sequence=32"}),
            "x.pt: the weights don't tell model.block: give it, such as --set model.block=256");
  Authors plain;  // no tensor tells this architecture from the others
  Authors headless;
  for (const std::string layer : {"layers.0.", "layers.1."}) {
    plain.remove(layer + "0.fn.to_out_0.weight");
    plain.remove(layer + "0.fn.to_out_0.bias");
    for (const char* name : {"0.fn.norm.weight", "0.fn.norm.bias", "0.fn.pos_emb.freqs"})
      headless.remove(layer + name);
  }
  EXPECT_THAT(message_of(plain, {}), AllOf(HasSubstr("don't tell model.architecture, model.sequence"),
                                           HasSubstr("--set model.architecture=double")));
  EXPECT_THAT(message_of(headless, given),
              HasSubstr("don't tell model.heads: give it, such as --set model.heads=6"));
}

TEST(ImportTorch, WhatContradictsTheFileIsRefused) {
  const Authors authors;
  const auto message = [&](const std::string& option) {
    return message_of(authors, {"model.sequence=32", "model.block=8", option});
  };
  EXPECT_EQ(message("model.dim=16"), "x.pt: --set model.dim=16: the shape of 'token_emb.weight' says 8");
  EXPECT_EQ(message("model.vocab=6"), "x.pt: --set model.vocab=6: the shape of 'token_emb.weight' says 5");
  EXPECT_EQ(message("model.layers=3"), "x.pt: --set model.layers=3: its tensors' names say 2");
  EXPECT_EQ(message("model.heads=4"),
            "x.pt: --set model.heads=4: the shape of 'layers.0.0.fn.norm.weight' says 2");
  EXPECT_EQ(message("model.architecture=full"),
            "x.pt: --set model.architecture=full: its tensors' names say ecp");
  EXPECT_EQ(message("model.preset=modern"), "x.pt: --set model.preset=modern: the authors' models are paper");
  EXPECT_EQ(message("model.block=4"), "x.pt: --set model.block=4: was given before as 8");
  EXPECT_THAT(message("model.qk_norm=none"),
              HasSubstr("tensor for 'layers.0.attention.kv_norm.bias' has no place in a ecp model"));
  EXPECT_THAT(message("model.ffn_dim=16"), HasSubstr("the tensor for 'layers.0.ffn.up.weight': expected "
                                                     "shape [16, 8] by the configuration, got [32, 8]"));
}

TEST(ImportTorch, WrongOptionsAreRefused) {
  const Authors authors;
  const auto message = [&](const std::string& option) { return message_of(authors, {option}); };
  EXPECT_EQ(message("train.lr=1"), "--set: expected model.key=value, got 'train.lr=1'");
  EXPECT_EQ(message("sequence=1"), "--set: expected section.key=value, got 'sequence=1'");
  EXPECT_THAT(message("model.sequenc=1"),
              HasSubstr("--set: unknown key 'model.sequenc' (did you mean 'sequence'?)"));
  EXPECT_EQ(message("model.block=many"), "--set: model.block: expected a whole number, got 'many'");
  EXPECT_THAT(message("model.sequence=0"), HasSubstr("--set: model.sequence: expected 1 to"));
  EXPECT_THAT(message("model.sequence=-9223372036854775808"),
              HasSubstr("--set: model.sequence: expected 1 to"));
}

TEST(ImportTorch, WrongShapesAreRefused) {
  const auto message = [&](const std::string& name, const std::vector<std::int64_t>& shape) {
    Authors authors;
    authors.add(name, shape);
    return message_of(authors, given);
  };
  EXPECT_EQ(message("layers.1.0.fn.to_q.weight", {8, 4}),
            "x.pt: the tensor for 'layers.1.attention.q.weight': expected shape [8, 8] by the configuration, "
            "got [8, 4]");
  EXPECT_THAT(message("layers.0.0.fn.norm.weight", {3}),
              HasSubstr("'layers.0.0.fn.norm.weight' has 3 values, which doesn't fit a width of 8"));
  EXPECT_THAT(message("layers.0.0.fn.norm.weight", {9}),
              HasSubstr("has 9 values, which doesn't fit a width of 8"));
  EXPECT_THAT(message("token_emb.weight", {5}),
              HasSubstr("expected the authors' tensor 'token_emb.weight' of shape [vocab, dim]"));
  EXPECT_THAT(message("token_emb.weight", {5, 0}), HasSubstr("model.dim: expected 2 to"));
  EXPECT_THAT(message("layers.4.0.norm.weight", {8}), HasSubstr("no tensor for the parameter"));
  EXPECT_THAT(message("layers.99999.0.norm.weight", {8}),
              HasSubstr("model.layers: expected 1 to 1024, got 100000"));
  EXPECT_THAT(message("layers.x.0.norm.weight", {8}), HasSubstr("has no place in a ecp model"));
  EXPECT_THAT(message("what", {8}), HasSubstr("x.pt: tensor 'what' is not known in the authors' models"));
  EXPECT_THAT(message("layers.0.0.fn.w_out.bias", {8}),
              HasSubstr("two tensors for 'layers.0.attention.out.bias'"));
  Authors authors;
  authors.remove("to_logits.0.bias");
  EXPECT_EQ(message_of(authors, given), "x.pt: no tensor for the parameter 'norm.bias'");
}

TEST(ImportTorch, WholeNumbersAreNoWeights) {
  const Authors authors;
  test::StateDict dict = test::state_dict(authors.tensors());
  // The first tensor's storage becomes one of 32-bit integers, of the same size.
  const std::string type = "ctorch\nFloatStorage\n";
  dict.value.replace(dict.value.find(type), type.size(), "ctorch\nIntStorage\n");
  const std::string bytes = test::torch_file(dict.value, dict.storages);
  const TorchFile file(std::as_bytes(std::span(bytes)), "x.pt");
  EXPECT_THAT(error_of([&] { import_authors(file, given); }),
              HasSubstr("expected a floating-point dtype, got I32"));
}

TEST(ImportTorch, SafetensorsWithoutMetadataAreImportedTheSameWay) {
  const Authors authors;
  const test::TemporaryFolder folder;
  std::vector<NamedTensor> tensors;
  for (const auto& [name, view] : authors.tensors()) tensors.push_back({"model." + name, view});
  write_safetensors(folder / "bare.safetensors", tensors);
  const SafetensorsFile file(folder / "bare.safetensors");
  EXPECT_EQ(to_json(import_authors(file, given).config), to_json(config_of(authors, given)));
  EXPECT_THAT(error_of([&] { import_authors(file); }), HasSubstr("don't tell model.sequence, model.block"));

  write_safetensors(folder / "described.safetensors", tensors,
                    {{"architecture", "ecp"},
                     {"vocab", "5"},
                     {"dim", "8"},
                     {"layers", "2"},
                     {"heads", "2"},
                     {"sequence", "32"},
                     {"block", "8"}});
  const SafetensorsFile described(folder / "described.safetensors");
  EXPECT_EQ(to_json(import_authors(described).config), to_json(config_of(authors, given)));
  EXPECT_EQ(import_authors(described, {"model.dropout=0.5"}).config.dropout, 0.5);
  EXPECT_THAT(error_of([&] { import_authors(described, {"model.block=4"}); }),
              HasSubstr("--set model.block=4: the file's metadata says 8"));
}

Path shared_folder() {
  const char* named = std::getenv("ECP_SHARED");
  return named != nullptr ? Path(named) : Path(ECP_SOURCE_DIR) / ".." / "shared";
}

TEST(ImportTorch, AllOfTheAuthorsModelsAsFromSafetensors) {
  const std::map<std::string, std::vector<std::string>> models = {
      {"ecp", {"model.block=8"}},
      {"perceiver_ar", {"model.latents=16"}},
      {"double", {"model.architecture=double", "model.latents=16"}},
      {"split", {"model.architecture=split", "model.latents=16", "model.history_segment=8"}},
      {"compressed", {}},
  };
  for (auto [name, overrides] : models) {
    const Path golden = shared_folder() / "golden" / (name + ".safetensors");
    if (!std::filesystem::exists(golden)) GTEST_SKIP() << "no reference weights: " << golden;
    const SafetensorsFile file(golden);
    const ImportedModel expected = import_authors(file);
    std::map<std::string, TensorView> theirs;
    for (const auto& [tensor, view] : file.tensors()) {
      if (tensor.starts_with("model.")) theirs["module." + tensor] = view;
    }
    const test::StateDict dict = test::state_dict(theirs);
    const std::string bytes =
        test::torch_file(p::dict({{"step", p::integer(7)}, {"state_dict", dict.value}}), dict.storages);
    const TorchFile torch(std::as_bytes(std::span(bytes)), "x.pt");
    EXPECT_NE(error_of([&] { import_authors(torch); }), "") << "sizes aren't told by weights";
    overrides.emplace_back("model.sequence=48");
    const ImportedModel model = import_authors(torch, overrides);
    EXPECT_EQ(to_json(model.config), to_json(expected.config)) << name;
    ASSERT_EQ(model.tensors.size(), expected.tensors.size()) << name;
    for (std::size_t i = 0; i < model.tensors.size(); ++i) {
      EXPECT_EQ(model.tensors[i].name, expected.tensors[i].name);
      EXPECT_EQ(model.tensors[i].view.to_float(), expected.tensors[i].view.to_float())
          << model.tensors[i].name;
    }
  }
}

}  // namespace
}  // namespace ecp
