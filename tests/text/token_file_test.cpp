#include "ecp/text/token_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "ecp/base/error.h"
#include "ecp/base/hash.h"
#include "ecp/base/own_hash.h"
#include "ecp/base/system.h"
#include "ecp/text/npy.h"
#include "tests/text/text_samples.h"

namespace ecp {
namespace {

using ::ecp::test::error_of;
using ::ecp::test::sample_tokenizers;
using ::ecp::test::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TokenFileInfo write_sample(const Path& path, const std::shared_ptr<const Tokenizer>& tokenizer) {
  TokenFileWriter writer(path, tokenizer);
  writer.add_document(tokenizer->encode("mira lo"), 2, 7);
  writer.add_document({}, 0, 0);
  writer.add_piece(tokenizer->encode("one\n"), 1, 4);
  writer.add_piece(tokenizer->encode("two"), 1, 3);
  writer.end_document();
  writer.set_sources({{"a.txt", 14, "00"}});
  return writer.commit();
}

std::string decode_all(const TokenFile& file) {
  std::vector<std::int64_t> ids(file.size());
  file.read(0, ids);
  std::string text;
  const auto tokenizer = file.tokenizer();
  for (const std::int64_t id : ids) text += tokenizer->bytes_of(static_cast<Token>(id));
  return text;
}

TEST(TokenFile, WritesAndReads) {
  for (const auto& tokenizer : sample_tokenizers()) {
    const TemporaryFolder folder;
    const Path path = folder / "sub/data.npy";
    std::filesystem::create_directory(folder / "sub");
    const TokenFileInfo written = write_sample(path, tokenizer);
    const TokenFile file(path);
    EXPECT_EQ(file.size(), written.tokens);
    EXPECT_EQ(file.info().words, 4);
    EXPECT_EQ(file.info().bytes, 14);
    EXPECT_EQ(file.info().hash, written.hash);
    EXPECT_EQ(file.info().end_of_text, tokenizer->end_of_text());
    EXPECT_EQ(file.info().separated, tokenizer->end_of_text().has_value());
    EXPECT_EQ(file.info().documents, written.documents);
    EXPECT_EQ(file.info().sources, written.sources);
    EXPECT_EQ(file.info().corpus_format, "text");
    EXPECT_EQ(decode_all(file), "mira loone\ntwo");
    file.verify();
    const auto entries = std::distance(std::filesystem::directory_iterator(folder / "sub"), {});
    EXPECT_EQ(entries, 3);  // no temporary file is left
  }
}

TEST(TokenFile, DocumentsEndWithEndOfText) {
  const TemporaryFolder folder;
  const auto& bpe = sample_tokenizers()[1];
  write_sample(folder / "data.npy", bpe);
  const TokenFile file(folder / "data.npy");
  const auto& documents = file.info().documents;
  ASSERT_EQ(documents.size(), 3);
  EXPECT_EQ(file[documents[1] - 1], *bpe->end_of_text());
  EXPECT_EQ(file[documents[2] - 1], *bpe->end_of_text());
  EXPECT_EQ(documents[2], documents[1] + 1);  // the empty document is its end-of-text token alone
  EXPECT_EQ(file[file.size() - 1], *bpe->end_of_text());
}

TEST(TokenFile, CanDoWithoutEndOfText) {
  const TemporaryFolder folder;
  const auto& bpe = sample_tokenizers()[1];
  TokenFileWriter writer(folder / "data.npy", bpe, {.corpus_format = "wikitext", .separated = false});
  writer.add_document(bpe->encode("a\n"), 2, 2);
  writer.commit();
  const TokenFile file(folder / "data.npy");
  EXPECT_FALSE(file.info().separated);
  EXPECT_EQ(file.info().end_of_text, bpe->end_of_text());
  EXPECT_EQ(decode_all(file), "a\n");
}

TEST(TokenFile, HeaderIsWhatNumpyWrites) {
  const TemporaryFolder folder;
  TokenFileWriter writer(folder / "data.npy", byte_tokenizer());
  writer.add_document(std::vector<Token>{1, 2, 255}, 1, 3);
  writer.commit();
  const std::string bytes = read_file(folder / "data.npy");
  ASSERT_EQ(bytes.size(), 128 + 6);
  EXPECT_EQ(bytes.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  EXPECT_THAT(bytes.substr(10, 118), HasSubstr("{'descr': '<u2', 'fortran_order': False, 'shape': (3,), }"));
  EXPECT_EQ(bytes[127], '\n');
  EXPECT_EQ(bytes.substr(128), std::string("\1\0\2\0\377\0", 6));
}

/// A tokenizer with a large vocabulary, for wide files.
class ManyTokens final : public Tokenizer {
 public:
  std::string kind() const override { return "bytes"; }
  std::int64_t vocab_size() const override { return 70000; }
  std::optional<Token> end_of_text() const override { return std::nullopt; }
  void encode(std::string_view, std::vector<Token>&) const override {}
  std::string_view bytes_of(Token) const override { return ""; }
  std::string hash() const override { return "many"; }
  void save(const Path& folder) const override { byte_tokenizer()->save(folder); }
};

TEST(TokenFile, WideIdsTakeFourBytes) {
  const TemporaryFolder folder;
  TokenFileWriter writer(folder / "data.npy", std::make_shared<ManyTokens>());
  writer.add_document(std::vector<Token>{69999, 0, 65536}, 1, 3);
  EXPECT_THROW(writer.add_document(std::vector<Token>{70000}, 1, 1), Error);
  writer.end_document();
  writer.commit();
  const TokenFile file(folder / "data.npy");
  EXPECT_EQ(file[0], 69999);
  EXPECT_EQ(file[2], 65536);
  EXPECT_THAT(error_of([&] { (void)file.tokenizer(); }), HasSubstr("expected the one that made"));
}

TEST(TokenFile, ReplacesAnOlderFileButNothingElse) {
  const TemporaryFolder folder;
  write_sample(folder / "data.npy", byte_tokenizer());
  const TokenFileInfo second = write_sample(folder / "data.npy", sample_tokenizers()[1]);
  EXPECT_EQ(TokenFile(folder / "data.npy").info().hash, second.hash);
  EXPECT_EQ(TokenFile(folder / "data.npy").tokenizer()->kind(), "sentencepiece");
  write_file(folder / "data.tokenizer/precious.txt", "mine");
  EXPECT_THAT(error_of([&] { write_sample(folder / "data.npy", byte_tokenizer()); }),
              HasSubstr("it holds 'precious.txt'"));
  EXPECT_EQ(TokenFile(folder / "data.npy").info().hash, second.hash);
}

TEST(TokenFile, UncommittedWriterLeavesNothing) {
  const TemporaryFolder folder;
  {
    TokenFileWriter writer(folder / "data.npy", byte_tokenizer());
    writer.add_document(std::vector<Token>{1}, 1, 1);
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  TokenFileWriter writer(folder / "data.npy", byte_tokenizer());
  EXPECT_THAT(error_of([&] { writer.commit(); }), HasSubstr("no tokens to write"));
}

TEST(TokenFile, ReadsCheckTheirRange) {
  const TemporaryFolder folder;
  write_sample(folder / "data.npy", byte_tokenizer());
  const TokenFile file(folder / "data.npy");
  std::vector<std::int64_t> three(3);
  file.read(file.size() - 3, three);
  EXPECT_THAT(three, ElementsAre('t', 'w', 'o'));
  EXPECT_THROW(file.read(file.size() - 2, three), Error);
  EXPECT_THROW(file.read(UINT64_MAX, three), Error);
  EXPECT_THROW((void)file[file.size()], Error);
}

TEST(TokenFile, DropsDocuments) {
  const TemporaryFolder folder;
  const auto tokenizer = sample_tokenizers()[1];
  const std::vector<Token> ids = tokenizer->encode("mira lo"), many(3000000, 7);
  const auto write = [&](const std::string& name, bool with_dropped) {
    TokenFileWriter writer(folder / name, tokenizer);
    const auto drop = [&](const std::vector<Token>& dropped) {
      if (!with_dropped) return;
      writer.add_piece(dropped, 1, 5);
      writer.add_piece(ids, 1, 5);
      writer.drop_document();
    };
    drop(many);  // has reached the file already
    writer.add_document(ids, 2, 7);
    drop(ids);  // has not
    writer.add_document(many, 2, 7);
    drop(many);
    drop({});
    writer.add_document(ids, 2, 7);
    drop(many);
    return writer.commit();
  };
  const TokenFileInfo dropped = write("a.npy", true), plain = write("b.npy", false);
  EXPECT_EQ(read_file(folder / "a.npy"), read_file(folder / "b.npy"));
  EXPECT_EQ(dropped.hash, plain.hash);
  EXPECT_EQ(dropped.documents, plain.documents);
  EXPECT_EQ(dropped.words, plain.words);
  EXPECT_EQ(dropped.bytes, plain.bytes);
  TokenFile(folder / "a.npy").verify();
  EXPECT_EQ(TokenFile(folder / "a.npy").info().duplicates, 5);
  EXPECT_EQ(TokenFile(folder / "b.npy").info().duplicates, std::nullopt);
  EXPECT_NE(error_of([&] { TokenFileWriter(folder / "c.npy", tokenizer).drop_document(); }), "");
}

TEST(TokenFile, LongListsOfDocumentsTakeLittleMemory) {
  const TemporaryFolder folder;
  constexpr std::size_t documents = 1000000;
  {
    TokenFileWriter writer(folder / "data.npy", byte_tokenizer());
    for (std::size_t i = 0; i < documents; ++i) writer.add_document(std::vector<Token>{1}, 0, 1);
    writer.commit();
  }
  const std::uint64_t before = peak_memory();
  const TokenFile file(folder / "data.npy");
  EXPECT_EQ(file.info().documents.size(), documents);
  EXPECT_EQ(file.info().documents.back(), documents - 1);
  EXPECT_LT(peak_memory() - before,
            64u << 20);  // 8 MB of offsets, while they grow 24; 7 MB of text that is mapped
}

class TokenFileBadInput : public ::testing::Test {
 protected:
  void SetUp() override {
    write_sample(folder_ / "data.npy", byte_tokenizer());
    npy_ = read_file(folder_ / "data.npy");
    json_ = read_file(folder_ / "data.json");
  }

  std::string open_error() const {
    std::string message = error_of([&] { TokenFile(folder_ / "data.npy").verify(); });
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    return message;
  }
  std::string npy_error(const std::string& npy) const {
    write_file(folder_ / "data.npy", npy);
    return open_error();
  }
  std::string header_error(const std::string& dictionary) const {
    std::string npy = npy_;
    std::string padded = dictionary;
    padded.resize(117, ' ');
    return npy_error(npy.replace(10, 118, padded + "\n"));
  }
  /// With a hash of itself that fits.
  void write_sidecar(std::string json) const {
    json = json.substr(0, json.rfind(",\n  \"xxh3\""));
    write_file(folder_ / "data.json", json + own_hash_ending(hash_bytes(json)));
  }
  std::string json_error(const std::string& from, const std::string& to) const {
    std::string json = json_;
    const auto found = json.find(from);
    EXPECT_NE(found, std::string::npos) << from;
    if (found != std::string::npos) json.replace(found, from.size(), to);
    write_sidecar(json);
    return open_error();
  }

  TemporaryFolder folder_;
  std::string npy_, json_;
};

TEST_F(TokenFileBadInput, TruncatedOrForeignNpy) {
  EXPECT_EQ(npy_error(npy_), "");
  for (const std::size_t size : {std::size_t{0}, std::size_t{5}, std::size_t{10}, std::size_t{11},
                                 std::size_t{60}, std::size_t{127}}) {
    EXPECT_NE(npy_error(npy_.substr(0, size)), "");
  }
  EXPECT_THAT(npy_error(npy_.substr(0, npy_.size() - 2)), HasSubstr("truncated or damaged"));
  EXPECT_THAT(npy_error(npy_.substr(0, npy_.size() - 1)), HasSubstr("truncated or damaged"));
  EXPECT_THAT(npy_error(npy_ + "xx"), HasSubstr("truncated or damaged"));
  EXPECT_THAT(npy_error("P" + npy_.substr(1)), HasSubstr("not a .npy file"));
  std::string long_header = npy_;
  long_header[9] = '\x7f';
  EXPECT_THAT(npy_error(long_header), HasSubstr("truncated or damaged .npy header"));
  std::string version = npy_;
  version[6] = 9;
  EXPECT_THAT(npy_error(version), HasSubstr("expected .npy version"));
  std::string flipped = npy_;
  flipped.back() ^= 1;
  EXPECT_THAT(npy_error(flipped), HasSubstr("data.npy': its tokens aren't those that it was written with"));
}

TEST_F(TokenFileBadInput, HeadersThatLie) {
  EXPECT_THAT(header_error("{'descr': '<u2', 'fortran_order': True, 'shape': (14,), }"),
              HasSubstr("one dimension in C order"));
  EXPECT_THAT(header_error("{'descr': '<u4', 'fortran_order': False, 'shape': (7,), }"),
              HasSubstr("expected the dtype <u2"));
  EXPECT_THAT(header_error("{'descr': '>u2', 'fortran_order': False, 'shape': (14,), }"),
              HasSubstr("expected the dtype <u2"));
  EXPECT_THAT(header_error("{'descr': '<u2', 'fortran_order': False, 'shape': (15,), }"),
              HasSubstr("truncated or damaged"));
  EXPECT_THAT(header_error("{'descr': '<u2', 'fortran_order': False, 'shape': (7, 2), }"),
              HasSubstr("one dimension"));
  EXPECT_THAT(header_error("{'descr': '<u2', 'fortran_order': False, 'shape': (9223372036854775815,), }"),
              HasSubstr("truncated or damaged"));
  EXPECT_THAT(header_error("{'descr': '<u2', 'fortran_order': False, 'shape': (4294967296, 4294967296), }"),
              HasSubstr("impossibly large"));
  EXPECT_THAT(header_error("{'descr': '<u2', 'fortran_order': False, 'shape': (99999999999999999999,), }"),
              HasSubstr("damaged .npy header"));
  EXPECT_THAT(header_error("{'descr': '<u2', 'fortran_order': False, 'shape': (-14,), }"),
              HasSubstr("damaged .npy header"));
  EXPECT_THAT(header_error("{'descr': '<u2', 'fortran_order': False, }"), HasSubstr("damaged .npy header"));
  EXPECT_THAT(header_error("{'descr': '<u2', 'descr': '<u2', 'fortran_order': False, 'shape': (14,)}"),
              HasSubstr("damaged .npy header"));
  EXPECT_THAT(header_error("{'descr': '<u2', 'fortran_order': False, 'shape': (14,), 'x': 1}"),
              HasSubstr("damaged .npy header"));
  EXPECT_THAT(header_error("{'descr': '<u2"), HasSubstr("damaged .npy header"));
  EXPECT_THAT(header_error(""), HasSubstr("damaged .npy header"));
  EXPECT_EQ(header_error("{'shape': (14,), 'fortran_order': False, 'descr': '<u2'}"), "");
}

TEST_F(TokenFileBadInput, SidecarsThatDisagree) {
  EXPECT_THAT(json_error("\"tokens\": 14", "\"tokens\": 13"),
              HasSubstr("expected the 13 tokens that its sidecar names, got 14"));
  EXPECT_THAT(json_error("\"tokens\": 14", "\"tokens\": 15"),
              HasSubstr("expected the 15 tokens that its sidecar names"));
  EXPECT_THAT(json_error("\"tokens\": 14", "\"tokens\": -14"),
              HasSubstr("expected a whole number \"tokens\""));
  EXPECT_THAT(json_error("\"tokens\": 14", "\"tokens\": 14.5"), HasSubstr("expected a whole number"));
  EXPECT_THAT(json_error("\"tokens\": 14", "\"tokens\": 14, \"tokens\": 14"), HasSubstr("occurs twice"));
  EXPECT_THAT(json_error("\"tokens\": 14", "\"tokens\": 1e999"), HasSubstr("not JSON"));
  EXPECT_THAT(json_error("\"vocab_size\": 256", "\"vocab_size\": 0"), HasSubstr("an empty vocabulary"));
  EXPECT_THAT(json_error("\"vocab_size\": 256", "\"vocab_size\": 70000"),
              HasSubstr("expected the dtype <u4"));
  EXPECT_THAT(json_error("\"vocab_size\": 256", "\"vocab_size\": 18446744073709551615"),
              HasSubstr("of at most"));
  EXPECT_THAT(json_error("\"separated\": false", "\"separated\": true"),
              HasSubstr("without an end-of-text token"));
  EXPECT_THAT(json_error("\"separated\": false", "\"separated\": 0"), HasSubstr("true or false"));
  EXPECT_THAT(json_error("[0,7,7]", "[0,7,15]"), HasSubstr("documents[2] is out of order or beyond"));
  EXPECT_THAT(json_error("[0,7,7]", "[0,8,7]"), HasSubstr("documents[2] is out of order"));
  EXPECT_THAT(json_error("[0,7,7]", "[1,7,7]"), HasSubstr("documents[0]"));
  EXPECT_THAT(json_error("[0,7,7]", "[]"), HasSubstr("no documents"));
  EXPECT_THAT(json_error("[0,7,7]", "[0,\"7\"]"), HasSubstr("not a whole number"));
  EXPECT_THAT(json_error("[0,7,7]", std::string(100000, '[')),
              HasSubstr("documents[0] is not a whole number"));
  EXPECT_THAT(json_error("ecp-tokens", "a\\nb"), HasSubstr("control characters"));
  EXPECT_THAT(json_error("ecp-tokens", "other"), HasSubstr("expected the format \"ecp-tokens\""));
  write_file(folder_ / "data.json", "");
  EXPECT_THAT(open_error(), HasSubstr("not JSON at byte"));
}

TEST_F(TokenFileBadInput, MissingParts) {
  EXPECT_THAT(error_of([&] { TokenFile file(folder_ / "none.npy"); }), HasSubstr("no such file"));
  EXPECT_THAT(error_of([&] { TokenFile file(folder_ / "data.json"); }), HasSubstr("ends in .npy"));
  std::filesystem::remove_all(folder_ / "data.tokenizer");
  const auto tokenizer_error = [&] {
    return error_of([&] { (void)TokenFile(folder_ / "data.npy").tokenizer(); });
  };
  EXPECT_THAT(tokenizer_error(), HasSubstr("no folder"));
  write_file(folder_ / "data.tokenizer", "a file isn't read before its hash is known");
  EXPECT_THAT(tokenizer_error(), HasSubstr("no folder"));
  std::filesystem::remove(folder_ / "data.json");
  EXPECT_THAT(open_error(), HasSubstr("expected its sidecar"));
}

TEST_F(TokenFileBadInput, TokensBeyondTheVocabulary) {
  std::string npy = npy_;
  npy[129] = 1;  // the first id becomes 256 or more
  write_file(folder_ / "data.npy", npy);
  const TokenFile file(folder_ / "data.npy");
  std::vector<std::int64_t> one(1);
  EXPECT_THAT(error_of([&] { file.read(0, one); }), HasSubstr("is not below the vocabulary's size, 256"));
  EXPECT_THAT(error_of([&] { file.verify(); }), HasSubstr("aren't those that it was written with"));
  EXPECT_THAT(error_of([&] { (void)file[0]; }), HasSubstr("is not below the vocabulary's size, 256"));
  // Also where somebody made a hash that fits.
  std::string json = json_;
  json.replace(json.find(TokenFile(folder_ / "data.npy").info().hash), 32, hash_bytes(npy.substr(128)));
  write_sidecar(json);
  EXPECT_THAT(error_of([&] { TokenFile(folder_ / "data.npy").verify(); }),
              HasSubstr("token 365 at 0 is not below the vocabulary's size, 256"));
}

TEST_F(TokenFileBadInput, CountsThatNoTextHas) {
  EXPECT_THAT(json_error("\"words\": 4", "\"words\": 15"), HasSubstr("damaged: 15 words in 14 bytes"));
  EXPECT_THAT(json_error("\"bytes\": 14", "\"bytes\": 15"),
              HasSubstr("15 bytes of text from sources of 14 bytes"));
  EXPECT_THAT(json_error("\"bytes\": 14", "\"bytes\": 13"),
              HasSubstr("14 tokens of a byte each for 13 bytes"));
  EXPECT_THAT(json_error("\"separated\": false", "\"separated\": false, \"duplicates\": -1"),
              HasSubstr("expected a whole number \"duplicates\""));
  EXPECT_THAT(json_error("[0,7,7]", "{\"a\": 0}"), HasSubstr("documents"));
  EXPECT_THAT(json_error("[0,7,7]", "7"), HasSubstr("expected a list \"documents\""));
  EXPECT_THAT(json_error("[0,7,7]", "[0,{\"a\": 1}]"), HasSubstr("documents[1] is not a whole number"));
  EXPECT_THAT(json_error("[0,7,7]", "[0,-1]"), HasSubstr("documents[1] is not a whole number"));
}

TEST_F(TokenFileBadInput, SidecarsFarLongerThanTheirTokens) {
  std::string json = json_;
  json.insert(json.find("[0,7,7]") + 6, std::string(20 << 20, ' '));
  write_file(folder_ / "data.json", json);
  EXPECT_THAT(open_error(), HasSubstr("data.json': expected at most"));
}

}  // namespace
}  // namespace ecp
