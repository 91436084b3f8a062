#include "ecp/text/wordpiece.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ecp/base/error.h"
#include "ecp/text/tokenize.h"
#include "tests/text/given_tokenizers.h"
#include "tests/text/text_samples.h"

namespace ecp {
namespace {

using ::ecp::test::error_of;
using ::ecp::test::expect_given_ids;
using ::ecp::test::given_folder;
using ::ecp::test::TemporaryFolder;
using ::testing::HasSubstr;

std::shared_ptr<const Tokenizer> given(bool wikitext = false) {
  const Path path = given_folder() / "vocab.txt";
  return text::wordpiece_tokenizer(read_file(path), path.string(), wikitext, false);
}

Token id_of(const std::string& token) {
  const std::string vocab = "\n" + read_file(given_folder() / "vocab.txt");
  const std::size_t found = vocab.find("\n" + token + "\n");
  EXPECT_NE(found, std::string::npos) << token;
  return static_cast<Token>(
      std::count(vocab.begin(), vocab.begin() + static_cast<std::ptrdiff_t>(found), '\n'));
}

TEST(WordPiece, GivesTheIdsOfTokenizers) { expect_given_ids("vocab.txt", *given()); }

TEST(WordPiece, WikiTextHasLineEndsAndUnknownWords) {
  const auto tokenizer = given(true);
  const std::string text = " = the = \n <unk> best times \n \n";
  const std::vector<Token> expected = {id_of("="),     id_of("the"),   id_of("="),
                                       id_of("[SEP]"), id_of("[UNK]"), id_of("best"),
                                       id_of("times"), id_of("[SEP]"), id_of("[SEP]")};
  EXPECT_EQ(tokenizer->encode(text), expected);
  EXPECT_EQ(tokenizer->decode(expected), " = the = \n <unk> best times \n \n");
  EXPECT_EQ(tokenizer->end_of_text(), std::nullopt);
  EXPECT_EQ(tokenizer->encode("the<unk>best\n"),
            (std::vector<Token>{id_of("the"), id_of("[UNK]"), id_of("best"), id_of("[SEP]")}));
}

TEST(WordPiece, OtherTextHasThemAsBertDoes) {
  const auto tokenizer = given();
  EXPECT_EQ(tokenizer->encode("\n\n"), std::vector<Token>());
  EXPECT_EQ(tokenizer->encode("<unk>").front(), id_of("<"));
  EXPECT_EQ(tokenizer->end_of_text(), id_of("[SEP]"));
  EXPECT_EQ(tokenizer->bytes_of(id_of("[SEP]")), "");
}

TEST(WordPiece, DecodesToWordsAndSaysThatItIsLossy) {
  const auto tokenizer = given();
  EXPECT_FALSE(tokenizer->lossless());
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("the\t rivers,\nhousing ☃")), " the rivers , housing [UNK]");
  EXPECT_THROW((void)tokenizer->bytes_of(static_cast<Token>(tokenizer->vocab_size())), Error);
}

TEST(WordPiece, SavesItsChoiceAndChecksIt) {
  for (const bool wikitext : {false, true}) {
    const TemporaryFolder folder;
    const auto tokenizer = given(wikitext);
    tokenizer->save(folder.path());
    const auto loaded = load_tokenizer(folder.path());
    EXPECT_EQ(loaded->kind(), "wordpiece");
    EXPECT_EQ(loaded->hash(), tokenizer->hash());
    EXPECT_EQ(loaded->encode("the\n<unk>"), tokenizer->encode("the\n<unk>"));
    EXPECT_EQ(loaded->for_wikitext(), nullptr);
    EXPECT_TRUE(loaded->verified());
    std::string json = read_file(folder / "tokenizer.json");
    const std::string was = wikitext ? "true" : "false";
    json.replace(json.find(was), was.size(), wikitext ? "false" : "true");
    write_file(folder / "tokenizer.json", json);
    EXPECT_THAT(error_of([&] { (void)load_tokenizer(folder.path()); }),
                HasSubstr("damaged: expected the hash"));
  }
  EXPECT_NE(given(false)->hash(), given(true)->hash());
}

TEST(WordPiece, ABareVocabularyFollowsTheFormatOfTheCorpus) {
  const TemporaryFolder folder;
  const std::string text = " \n = the = \n \n best times \n";
  write_file(folder / "a.tokens", text);
  write_file(folder / "a.txt", text);
  const auto bare = load_tokenizer(given_folder() / "vocab.txt");
  EXPECT_FALSE(bare->verified());
  const TokenFileInfo wikitext = tokenize_corpus({folder / "a.tokens"}, folder / "w.npy", bare, {});
  EXPECT_EQ(wikitext.tokens, 9);
  EXPECT_EQ(wikitext.words, 9);
  EXPECT_EQ(wikitext.bytes, text.size());
  EXPECT_FALSE(wikitext.separated);
  const TokenFileInfo plain = tokenize_corpus({folder / "a.txt"}, folder / "p.npy", bare, {});
  EXPECT_EQ(plain.tokens, 6);
  EXPECT_EQ(plain.words, 5);
  EXPECT_TRUE(plain.separated);
  EXPECT_NE(plain.tokenizer_hash, wikitext.tokenizer_hash);
  // What was recorded with data stays.
  const auto recorded = TokenFile(folder / "p.npy").tokenizer();
  EXPECT_EQ(tokenize_corpus({folder / "a.tokens"}, folder / "q.npy", recorded, {}).tokenizer_hash,
            plain.tokenizer_hash);
}

TEST(WordPiece, LongWordsTakeLinearTime) {
  const auto tokenizer = given();
  EXPECT_EQ(tokenizer->encode(std::string(1 << 20, 'a')), std::vector<Token>{id_of("[UNK]")});
  std::string joined;
  for (int i = 0; i < 1 << 18; ++i) joined += "a\u200B";
  EXPECT_EQ(tokenizer->encode(joined), std::vector<Token>{id_of("[UNK]")});
}

TEST(WordPieceBadInput, VocabulariesGiveOneLine) {
  const auto error = [](const std::string& vocab, bool wikitext = false) {
    return error_of([&] { (void)text::wordpiece_tokenizer(vocab, "v", wikitext, false); });
  };
  EXPECT_EQ(error(""), "'v': expected a vocabulary, got an empty file");
  EXPECT_EQ(error("the\n"), "'v': expected a vocabulary with the token [UNK]");
  EXPECT_EQ(error("[UNK]\n", true), "'v': expected a vocabulary with the token [SEP]");
  EXPECT_EQ(error("[UNK]\nthe\nthe \n"), "'v:3': the token \"the\" stands on line 2 already");
  EXPECT_EQ(error("[UNK]\n\nthe\n"), "'v:2': expected a token, got an empty line");
  EXPECT_EQ(error("[UNK]\n\xFF\n"), "'v': expected a vocabulary in UTF-8, got other bytes at 6");
  EXPECT_THAT(error("[UNK]\n" + std::string(2000, 'x')),
              HasSubstr("'v:2': expected a token of at most 1024 bytes"));
  EXPECT_EQ(error("[UNK]\r\nthe\r\n"), "");
  EXPECT_EQ(error_of([] { (void)given()->encode("ab\xFF"); }), "text: not UTF-8 at byte 2");
}

}  // namespace
}  // namespace ecp
