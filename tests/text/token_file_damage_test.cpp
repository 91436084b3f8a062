// Single flipped bits and cut-off ends in every part of a token file: what isn't refused reads exactly as
// before.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ecp/text/token_file.h"
#include "tests/support/damage.h"
#include "tests/text/text_samples.h"

namespace ecp {
namespace {

using ::ecp::test::sample_tokenizers;
using ::ecp::test::TemporaryFolder;
using ::testing::ElementsAre;

/// All that a reader can see of a token file.
struct Content {
  TokenFileInfo info;
  std::vector<std::int64_t> tokens;
  std::vector<std::string> pieces;

  explicit Content(const Path& path) {
    const TokenFile file(path);
    file.verify();
    info = file.info();
    tokens.resize(file.size());
    file.read(0, tokens);
    const auto tokenizer = file.tokenizer();
    for (Token id = 0; id < tokenizer->vocab_size(); ++id) pieces.emplace_back(tokenizer->bytes_of(id));
  }

  void expect_same(const Content& other) const {
    EXPECT_EQ(tokens, other.tokens);
    EXPECT_EQ(pieces, other.pieces);
    EXPECT_TRUE(info == other.info);
  }
};

void write_some(const Path& path, const std::shared_ptr<const Tokenizer>& tokenizer) {
  TokenFileWriter writer(path, tokenizer);
  std::uint64_t bytes = 0;
  for (std::uint64_t i = 0; i < 9; ++i) {
    const std::string text = ::ecp::test::sample_text(10, i);
    writer.add_document(tokenizer->encode(text), 10, text.size());
    bytes += text.size();
  }
  writer.set_sources({{"a.txt", bytes, "00"}});
  writer.commit();
}

std::vector<std::shared_ptr<const Tokenizer>> tokenizers_of_all_kinds() {
  const TemporaryFolder folder;
  write_file(folder / "vocab.txt", "[UNK]\n[SEP]\nlo\n##mi\n##ra\nst\n");
  auto all = sample_tokenizers();
  all.push_back(load_tokenizer(folder / "vocab.txt"));
  all.push_back(load_tokenizer(Path(ECP_SOURCE_DIR) / "tests/text/tokenizers/gpt2.json"));
  return all;
}

TEST(TokenFileDamage, IsRefusedOrChangesNothing) {
  for (const auto& tokenizer : tokenizers_of_all_kinds()) {
    const TemporaryFolder folder;
    write_some(folder / "data.npy", tokenizer);
    const Content original(folder / "data.npy");
    test::Damager damager(folder.path(), [&] { Content(folder / "data.npy").expect_same(original); });
    int refused = 0;
    for (std::uint64_t i = 0; i < 800; ++i) {
      SCOPED_TRACE(fmt::format("{}: bit {} of {}", tokenizer->kind(), i, damager.name(i)));
      const std::string message = damager.flip(i);
      EXPECT_EQ(message.find('\n'), std::string::npos) << message;
      refused += message.empty() ? 0 : 1;
      // Only in a tokenizer.json there is something that nobody reads: numbers for people.
      EXPECT_TRUE(!message.empty() || damager.name(i) == "data.tokenizer/tokenizer.json" ||
                  damager.name(i) == "data.npy");
    }
    for (std::uint64_t i = 0; i < 200; ++i) {
      SCOPED_TRACE(fmt::format("{}: cut {} of {}", tokenizer->kind(), i, damager.name(i)));
      // Without its last line end it is the same JSON.
      EXPECT_TRUE(!damager.cut(i).empty() || damager.name(i) == "data.tokenizer/tokenizer.json");
    }
    EXPECT_GT(refused, 700) << tokenizer->kind();
    Content(folder / "data.npy").expect_same(original);
  }
}

TEST(TokenFileDamage, EveryBitOfASidecarCounts) {
  const TemporaryFolder folder;
  write_some(folder / "data.npy", byte_tokenizer());
  const std::string text = read_file(folder / "data.json");
  for (std::size_t bit = 0; bit < text.size() * 8; ++bit) {
    std::string flipped = text;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
    test::overwrite(folder / "data.json", flipped);
    EXPECT_THROW(TokenFile(folder / "data.npy"), Error) << "bit " << bit;
  }
  // Version 1 had no hash of itself, and no other members.
  std::string first = text.substr(0, text.rfind(",\n  \"xxh3\"")) + "\n}\n";
  test::overwrite(folder / "data.json", first);
  EXPECT_THROW(TokenFile(folder / "data.npy"), Error) << "version 2 without its hash";
  first.replace(first.find("\"version\": 2"), 12, "\"version\": 1");
  test::overwrite(folder / "data.json", first);
  EXPECT_NO_THROW(TokenFile(folder / "data.npy"));
}

}  // namespace
}  // namespace ecp
