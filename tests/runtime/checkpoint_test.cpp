// Models from checkpoint folders. With ECP_WRITE_CHECKPOINTS=FOLDER in the environment the folder keeps what
// is written here, for the tests of `ecp generate`.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "ecp/base/error.h"
#include "ecp/base/files.h"
#include "ecp/config/config_file.h"
#include "ecp/weights/checkpoint.h"
#include "reference_model.h"

namespace ecp {
namespace {

class CheckpointFiles : public testing::Test {
 protected:
  void SetUp() override {
    const char* wanted = std::getenv("ECP_WRITE_CHECKPOINTS");
    keep_ = wanted != nullptr;
    std::string unique = (std::filesystem::temp_directory_path() / "ecp-checkpoint-XXXXXX").string();
    folder_ = keep_ ? Path(wanted) : Path(::mkdtemp(unique.data()));
  }
  void TearDown() override {
    if (!keep_) std::filesystem::remove_all(folder_);
  }

  Path write(const std::string& name, ModelConfig config, const std::shared_ptr<const Tokenizer>& tokenizer,
             std::int64_t dim = 16) {
    if (tokenizer != nullptr) config.vocab = tokenizer->vocab_size();
    config.dim = dim;
    config.layers = 2;
    config.heads = 2;
    config.block = 8;
    config.sequence = 32;
    const auto weights = random_weights(config, 1);
    FolderWriter writer(folder_ / name);
    write_file(writer.path() / "config.json", to_json(config));
    write_safetensors(writer.path() / "model.safetensors", weights->tensors);
    if (tokenizer != nullptr) {
      std::filesystem::create_directory(writer.path() / "tokenizer");
      tokenizer->save(writer.path() / "tokenizer");
    }
    write_manifest(writer.path());
    writer.commit();
    return folder_ / name;
  }

  static ModelConfig preset(const std::string& name, const std::string& architecture = "ecp") {
    ModelConfig config;
    config.architecture = architecture;
    config.preset = name;
    apply_preset(config);
    return config;
  }

  bool keep_ = false;
  Path folder_;
};

TEST_F(CheckpointFiles, LoadAndGenerate) {
  const Path bytes = write("bytes", preset("modern"), byte_tokenizer());
  const Path paper = write("paper", preset("paper"), byte_tokenizer());
  int texts = 0;
  const auto pieces = train_sentencepiece({.vocab_size = 280, .threads = 1}, [&](std::string& text) {
    text = "the cat sat on the mat and the dog sat on the log\nwhile the cat and the dog saw the fog\n";
    return ++texts <= 20;
  });
  const Path words = write("words", preset("modern"), pieces);
  const Path given = Path(ECP_SOURCE_DIR) / "tests/text/tokenizers";
  const Path wordpiece = write("wordpiece", preset("modern"), load_tokenizer(given / "vocab.txt"));
  const Path wikitext =
      write("wikitext", preset("modern"), load_tokenizer(given / "vocab.txt")->for_wikitext());
  const Path gpt2 = write("gpt2", preset("modern"), load_tokenizer(given / "gpt2.json"));
  const Path llama2 = write("llama2", preset("modern"), load_tokenizer(given / "llama2.json"));
  for (const char* architecture : {"full", "sliding", "shifted"}) {
    const auto model = Model::load(write(architecture, preset("modern", architecture), byte_tokenizer()), 1);
    EXPECT_EQ(model->config().architecture, architecture);
  }
  write("wide", preset("modern"), byte_tokenizer(), 384);  // as slow as models are
  ModelConfig plain = preset("modern");
  plain.vocab = 50;
  const Path tokens = write("tokens", plain, nullptr);

  for (const Path& path : {bytes, paper, words, wordpiece, wikitext, gpt2, llama2}) {
    const auto model = Model::load(path, 1);
    ASSERT_NE(model->tokenizer(), nullptr);
    Session session = model->session({.temperature = 1, .max_tokens = 60});
    session.prompt("the cat ");
    std::string text;
    while (const auto piece = session.next()) text += *piece;
    EXPECT_FALSE(text.empty());
    EXPECT_EQ(session.beyond_trained_length(), path == paper && session.position() > 33);
  }
  const auto loaded = Model::load(tokens, 1);
  EXPECT_EQ(loaded->tokenizer(), nullptr);
  // The same logits as from the weights in memory.
  const auto weights = random_weights(loaded->config(), 1);
  const auto ids = random_tokens(20, 50, 2);
  Session from_file = loaded->session();
  Session from_memory = Model::create(loaded->config(), weights->tensors, nullptr, 1)->session();
  EXPECT_EQ(from_file.forward(ids), from_memory.forward(ids));
}

TEST_F(CheckpointFiles, DamagedOnesAreRefused) {
  if (keep_) return;
  const Path path = write("damaged", preset("modern"), byte_tokenizer());
  std::string weights = read_file(path / "model.safetensors");
  weights.back() = static_cast<char>(weights.back() ^ 1);
  write_file(path / "model.safetensors", weights);
  EXPECT_THAT([&] { Model::load(path); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("model.safetensors")));
  EXPECT_THAT([&] { Model::load(folder_ / "absent"); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("absent")));
}

}  // namespace
}  // namespace ecp
