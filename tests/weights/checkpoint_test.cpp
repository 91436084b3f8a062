#include "ecp/weights/checkpoint.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "ecp/base/error.h"
#include "ecp/config/config_file.h"
#include "ecp/config/parameters.h"
#include "ecp/weights/import.h"

namespace ecp {
namespace {

ModelConfig small_model() {
  ModelConfig config;
  config.vocab = 5;
  config.dim = 8;
  config.heads = 2;
  config.layers = 1;
  config.sequence = 16;
  config.block = 4;
  return config;
}

class CheckpointFolder : public testing::Test {
 protected:
  void SetUp() override {
    root_ = std::filesystem::temp_directory_path() / ("ecp-checkpoint-" + std::to_string(::getpid()));
    std::filesystem::create_directories(root_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  /// A checkpoint of zeros under `name`.
  Path write(const std::string& name, const ModelConfig& config) {
    const Path path = root_ / name;
    FolderWriter folder(path);
    write_file(folder.path() / "config.json", to_json(config));
    std::vector<std::vector<float>> values;
    std::vector<NamedTensor> tensors;
    for (const Parameter& parameter : parameters(config)) {
      values.emplace_back(static_cast<std::size_t>(parameter.elements()), 0.5f);
      tensors.push_back(
          {parameter.name, {DType::f32, parameter.shape, std::as_bytes(std::span(values.back()))}});
    }
    write_safetensors(folder.path() / "model.safetensors", tensors);
    std::filesystem::create_directory(folder.path() / "tokenizer");
    write_file(folder.path() / "tokenizer" / "tokenizer.json", "{}");
    write_manifest(folder.path());
    folder.commit();
    return path;
  }

  static std::string message_of(const Path& path) {
    try {
      static_cast<void>(Checkpoint(path).weights());
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  Path root_;
};

TEST_F(CheckpointFolder, LoadsWhatWasWritten) {
  const Checkpoint checkpoint(write("a", small_model()));
  EXPECT_EQ(checkpoint.model().dim, 8);
  EXPECT_TRUE(checkpoint.has("tokenizer/tokenizer.json"));
  EXPECT_FALSE(checkpoint.has("optimizer.safetensors"));
  EXPECT_EQ(checkpoint.weights().at("embedding.weight").to_float().size(), 40u);
}

TEST_F(CheckpointFolder, RunFolderMeansItsBestCheckpointElseItsLast) {
  const Path run = root_ / "run";
  std::filesystem::create_directories(run / "checkpoints");
  write("run/checkpoints/step-1", small_model());
  std::filesystem::create_symlink("step-1", run / "checkpoints" / "last");
  EXPECT_EQ(Checkpoint(run).folder(), run / "checkpoints" / "last");
  std::filesystem::create_symlink("step-1", run / "checkpoints" / "best");
  EXPECT_EQ(Checkpoint(run).folder(), run / "checkpoints" / "best");
}

TEST_F(CheckpointFolder, EveryDamagedFileIsNamed) {
  for (const std::string name : {"config.json", "model.safetensors", "tokenizer/tokenizer.json"}) {
    const Path path = write("damaged-" + name.substr(0, 5), small_model());
    std::string content = read_file(path / name);
    content[content.size() / 2] ^= 1;
    write_file(path / name, content);
    EXPECT_NE(message_of(path).find(name + " is damaged"), std::string::npos) << message_of(path);
    write_file(path / name, content.substr(1));
    EXPECT_NE(message_of(path).find("bytes, got"), std::string::npos) << message_of(path);
    std::filesystem::remove(path / name);
    EXPECT_NE(message_of(path).find(name + " is missing"), std::string::npos) << message_of(path);
    std::filesystem::remove_all(path);
  }
}

TEST_F(CheckpointFolder, ManifestMustStayInsideTheFolder) {
  const Path path = write("a", small_model());
  for (const std::string name : {"../a/config.json", "/etc/passwd", ""}) {
    write_file(path / "manifest.json", R"({"format":"ecp-checkpoint","version":1,"files":{")" + name +
                                           R"(":{"bytes":1,"xxh3":"00"}}})");
    EXPECT_NE(message_of(path).find("is not valid"), std::string::npos) << message_of(path);
  }
  write_file(path / "manifest.json", R"({"format":"ecp-checkpoint","version":1,"files":{}})");
  EXPECT_NE(message_of(path).find("config.json is not in its manifest"), std::string::npos);
  write_file(path / "manifest.json", "[1]");
  EXPECT_NE(message_of(path).find("expected a JSON object"), std::string::npos);
}

TEST_F(CheckpointFolder, WeightsOfAnotherModelAreRefused) {
  const Path path = write("a", small_model());
  ModelConfig other = small_model();
  other.ffn_dim = 128;
  write_file(path / "config.json", to_json(other));
  write_manifest(path);
  EXPECT_NE(message_of(path).find("expected shape [128, 8], got [64, 8]"), std::string::npos)
      << message_of(path);
  other = small_model();
  other.layers = 2;
  write_file(path / "config.json", to_json(other));
  write_manifest(path);
  EXPECT_NE(message_of(path).find("'layers.1.attention.norm.weight' is missing"), std::string::npos)
      << message_of(path);
}

TEST_F(CheckpointFolder, MissingFoldersAreNamed) {
  EXPECT_NE(message_of(root_ / "nowhere").find("no such folder"), std::string::npos);
  EXPECT_NE(message_of(root_).find("expected a folder with manifest.json"), std::string::npos);
}

Path shared_folder() {
  const char* named = std::getenv("ECP_SHARED");
  return named != nullptr ? Path(named) : Path(ECP_SOURCE_DIR) / ".." / "shared";
}

TEST_F(CheckpointFolder, ImportsTheAuthorsModel) {
  const Path golden = shared_folder() / "golden" / "ecp.safetensors";
  if (!std::filesystem::exists(golden)) GTEST_SKIP() << "no reference weights: " << golden;
  import_checkpoint(golden, root_ / "imported");
  const Checkpoint checkpoint(root_ / "imported");
  EXPECT_EQ(checkpoint.model().preset, "paper");
  EXPECT_EQ(checkpoint.model().block, 8);
  EXPECT_EQ(parameter_count(checkpoint.model()), 41997);
  const SafetensorsFile theirs(golden);
  EXPECT_EQ(checkpoint.weights().at("layers.2.attention.out_0.weight").to_float(),
            theirs.at("model.layers.2.0.fn.to_out_0.weight").to_float());
  EXPECT_EQ(authors_gradients(theirs).size(), parameters(checkpoint.model()).size() - 6);  // kv_norm has none
  EXPECT_THROW(import_checkpoint(golden, root_ / "imported"), Error);
}

TEST_F(CheckpointFolder, ImportNamesWhatItDoesNotKnow) {
  const std::vector<float> one = {1};
  const NamedTensor tensor{"model.what", {DType::f32, {1}, std::as_bytes(std::span(one))}};
  const Path path = root_ / "x.safetensors";
  const auto message = [&](std::map<std::string, std::string> metadata) -> std::string {
    write_safetensors(path, {&tensor, 1}, metadata);
    try {
      import_checkpoint(path, root_ / "out");
    } catch (const Error& error) {
      EXPECT_FALSE(std::filesystem::exists(root_ / "out"));
      return error.what();
    }
    return "";
  };
  EXPECT_NE(message({}).find("expected the authors' tensor 'token_emb.weight'"), std::string::npos);
  std::map<std::string, std::string> metadata = {{"architecture", "ecp"}, {"vocab", "5"}, {"dim", "8"},
                                                 {"layers", "1"},         {"heads", "2"}, {"sequence", "16"},
                                                 {"block", "4"}};
  EXPECT_NE(message(metadata).find("'model.what' is not known"), std::string::npos);
  metadata["dim"] = "8x";
  EXPECT_NE(message(metadata).find("expected a whole number, got '8x'"), std::string::npos);
}

}  // namespace
}  // namespace ecp
