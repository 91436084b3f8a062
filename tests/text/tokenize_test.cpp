#include "ecp/text/tokenize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "ecp/base/hash.h"
#include "tests/text/text_samples.h"

namespace ecp {
namespace {

using ::ecp::test::error_of;
using ::ecp::test::sample_text;
using ::ecp::test::sample_tokenizers;
using ::ecp::test::TemporaryFolder;
using ::testing::HasSubstr;

TEST(TokenizeCorpus, GivesTheTokensOfEachWholeDocument) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "texts");
  std::vector<std::string> texts;
  for (std::uint64_t i = 0; i < 30; ++i) {
    texts.push_back(sample_text(i * i * i * 3 + 1, i));
    write_file(folder / ("texts/" + std::to_string(i + 10) + ".txt"), texts.back());
  }
  for (const auto& tokenizer : sample_tokenizers()) {
    std::vector<Token> expected;
    std::vector<std::uint64_t> documents;
    for (const std::string& text : texts) {
      documents.push_back(expected.size());
      tokenizer->encode(text, expected);
      if (tokenizer->end_of_text()) expected.push_back(*tokenizer->end_of_text());
    }
    std::string hash;
    for (const std::int64_t threads : {1, 2, 7}) {
      const Path output = folder / ("out/" + std::to_string(threads) + ".npy");
      std::uint64_t last = 0, total = 1;
      TokenizeOptions options;
      options.threads = threads;
      options.overwrite = true;
      options.progress = [&](const Progress& progress) {
        EXPECT_GE(progress.done, last);
        last = progress.done;
        total = progress.total;
      };
      const TokenFileInfo info = tokenize_corpus({folder / "texts"}, output, tokenizer, options);
      EXPECT_EQ(last, total);
      const TokenFile file(output);
      ASSERT_EQ(file.size(), expected.size());
      for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_EQ(file[i], expected[i]);
      EXPECT_EQ(info.documents, documents);
      EXPECT_EQ(info.sources.size(), 30);
      EXPECT_EQ(info.bytes, last);
      if (!hash.empty()) {
        EXPECT_EQ(info.hash, hash);
      }
      hash = info.hash;
    }
  }
}

TEST(TokenizeCorpus, LeavesOutDuplicates) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "all");
  std::filesystem::create_directory(folder / "once");
  // Long ones come in many pieces; two begin alike; one differs in its last byte.
  const std::string longer = sample_text(60000), almost = longer + "x";
  const std::vector<std::string> texts = {"a", longer, "b", "a",    almost, longer,
                                          "c", longer, "a", almost, "b",    "d"};
  std::set<std::string> met;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::string name = "/" + std::to_string(i + 10) + ".txt";
    write_file(folder / ("all" + name), texts[i]);
    if (met.insert(texts[i]).second) write_file(folder / ("once" + name), texts[i]);
  }
  for (const auto& tokenizer : sample_tokenizers()) {
    TokenizeOptions options{.overwrite = true};
    const TokenFileInfo once = tokenize_corpus({folder / "once"}, folder / "once.npy", tokenizer, options);
    EXPECT_EQ(once.duplicates, std::nullopt);
    options.deduplicate = true;
    for (const std::int64_t threads : {1, 2, 7}) {
      options.threads = threads;
      const TokenFileInfo info = tokenize_corpus({folder / "all"}, folder / "all.npy", tokenizer, options);
      EXPECT_EQ(info.hash, once.hash);
      EXPECT_EQ(info.documents, once.documents);
      EXPECT_EQ(info.words, once.words);
      EXPECT_EQ(info.bytes, once.bytes);
      EXPECT_EQ(info.duplicates, texts.size() - met.size());
      EXPECT_EQ(info.sources.size(), texts.size());
      TokenFile(folder / "all.npy").verify();
    }
    EXPECT_EQ(tokenize_corpus({folder / "once"}, folder / "again.npy", tokenizer, options).duplicates, 0);
  }
}

TEST(TokenizeCorpus, WikiTextHasNoEndOfTextAndItsOwnWordCounts) {
  const TemporaryFolder folder;
  const std::string text = " \n = One = \n \n a b \n \n = Two = \n \n c \n";
  write_file(folder / "wiki.tokens", text);
  for (const auto& tokenizer : sample_tokenizers()) {
    const TokenFileInfo info =
        tokenize_corpus({folder / "wiki.tokens"}, folder / "wiki.npy", tokenizer, {.overwrite = true});
    EXPECT_FALSE(info.separated);
    EXPECT_EQ(info.corpus_format, "wikitext");
    EXPECT_EQ(info.documents.size(), 2);
    EXPECT_EQ(info.words, 9 + 8);
    const TokenFile file(folder / "wiki.npy");
    std::vector<Token> ids(file.size());
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = file[i];
    EXPECT_EQ(tokenizer->decode(ids), text);
  }
}

TEST(TokenizeCorpus, OfficialWikiTextCountsAsBytes) {
  const Path shared = ::ecp::test::shared_folder();
  if (shared.empty()) GTEST_SKIP() << "no shared data (ECP_SHARED)";
  const TemporaryFolder folder;
  const Path input = shared / "data/wikitext-103/wiki.valid.tokens";
  const TokenFileInfo info = tokenize_corpus({input}, folder / "valid.npy", byte_tokenizer(), {});
  EXPECT_EQ(info.words, 217646);
  EXPECT_EQ(info.bytes, 1142309);
  EXPECT_EQ(info.tokens, 1142309);
  EXPECT_EQ(info.sources.at(0).hash, hash_file(input));
}

TEST(TokenizeCorpus, BytesFormatNeedsAByteTokenizerForAnyBytes) {
  const TemporaryFolder folder;
  write_file(folder / "data.bin", "abc\xFF");
  const TokenizeOptions options{.format = CorpusFormat::bytes, .overwrite = true};
  EXPECT_EQ(tokenize_corpus({folder / "data.bin"}, folder / "a.npy", byte_tokenizer(), options).tokens, 4);
  EXPECT_THAT(error_of([&] {
                tokenize_corpus({folder / "data.bin"}, folder / "b.npy", sample_tokenizers()[1], options);
              }),
              HasSubstr("data.bin': not UTF-8 at byte 3"));
}

TEST(TokenizeCorpus, FailuresLeaveNoFiles) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "in");
  write_file(folder / "in/a.txt", sample_text(100000));
  write_file(folder / "in/b.txt", "bad \xFF");
  EXPECT_THAT(error_of([&] { tokenize_corpus({folder / "in"}, folder / "out/a.npy", byte_tokenizer(), {}); }),
              HasSubstr("b.txt': not UTF-8 at byte 4"));
  EXPECT_TRUE(std::filesystem::is_empty(folder / "out"));
}

TEST(TokenizeCorpus, ExistingOutputIsKept) {
  const TemporaryFolder folder;
  write_file(folder / "a.txt", "text");
  const TokenFileInfo first = tokenize_corpus({folder / "a.txt"}, folder / "a.npy", byte_tokenizer(), {});
  write_file(folder / "a.txt", "other");
  EXPECT_THAT(error_of([&] { tokenize_corpus({folder / "a.txt"}, folder / "a.npy", byte_tokenizer(), {}); }),
              HasSubstr("exists already (--force replaces it)"));
  EXPECT_EQ(TokenFile(folder / "a.npy").info().hash, first.hash);
  EXPECT_THAT(error_of([&] { tokenize_corpus({folder / "a.txt"}, folder / "a.bin", byte_tokenizer(), {}); }),
              HasSubstr("ends in .npy"));
}

TEST(TokenizeCorpus, NeverReplacesAnInput) {
  const TemporaryFolder folder;
  const std::string line = "{\"text\": \"a\"}\n";
  write_file(folder / "a.json", line);
  const TokenizeOptions options{.format = CorpusFormat::jsonl, .overwrite = true};
  EXPECT_THAT(
      error_of([&] { tokenize_corpus({folder / "a.json"}, folder / "a.npy", byte_tokenizer(), options); }),
      HasSubstr("it would replace the input"));
  EXPECT_EQ(read_file(folder / "a.json"), line);
}

TEST(TrainOnCorpus, LearnsFromTheInputs) {
  const TemporaryFolder folder;
  write_file(folder / "a.txt", sample_text(20000));
  SentencePieceTraining training;
  training.vocab_size = 400;
  const auto tokenizer = train_on_corpus({folder / "a.txt"}, CorpusFormat::automatic, training, {});
  EXPECT_EQ(tokenizer->vocab_size(), 400);
  EXPECT_LT(tokenizer->encode(sample_text(1000, 8)).size() * 2, sample_text(1000, 8).size());
}

}  // namespace
}  // namespace ecp
