#include "ecp/text/token_statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/token_files.h"
#include "tests/text/text_samples.h"

namespace ecp {
namespace {

using ::ecp::test::sample_text;
using ::ecp::test::sample_tokenizers;
using ::ecp::test::TemporaryFolder;
using ::testing::ElementsAre;

TEST(TokenStatistics, CountsTokensAndDocuments) {
  const TemporaryFolder folder;
  test::write_tokens(folder / "a.npy", {"aab", "", "a c", "aaaaaaaaaaaaaaaab"});
  const TokenStatistics statistics = statistics_of(TokenFile(folder / "a.npy"));
  EXPECT_EQ(statistics.documents, 4);
  EXPECT_EQ(statistics.tokens, 23);
  EXPECT_EQ(statistics.bytes, 23);
  EXPECT_EQ(statistics.words, 4);
  EXPECT_EQ(statistics.occurrences['a'], 19);
  EXPECT_EQ(statistics.distinct(), 4);
  EXPECT_THAT(statistics.most_frequent(2), ElementsAre('a', 'b'));
  EXPECT_THAT(statistics.most_frequent(300), ElementsAre('a', 'b', ' ', 'c'));
  EXPECT_EQ(statistics.lengths[0], 1);  // none
  EXPECT_EQ(statistics.lengths[2], 2);  // 2 and 3
  EXPECT_EQ(statistics.lengths[5], 1);  // 16 to 31
  EXPECT_EQ(statistics.shortest, 0);
  EXPECT_EQ(statistics.longest, 17);
  const Histogram frequencies = statistics.frequencies();
  EXPECT_EQ(frequencies[0], 252);
  EXPECT_EQ(frequencies[1], 2);
  EXPECT_EQ(frequencies[2], 1);
  EXPECT_EQ(frequencies[5], 1);
}

TEST(TokenStatistics, OfTextAreThoseOfItsTokenFile) {
  const TemporaryFolder folder;
  const std::string text = sample_text(60000);
  write_file(folder / "a.txt", text);
  for (const auto& tokenizer : sample_tokenizers()) {
    test::write_tokens(folder / "a.npy", {text}, tokenizer);
    TokenStatistics of_file = statistics_of(TokenFile(folder / "a.npy"));
    CorpusReader corpus({folder / "a.txt"}, CorpusFormat::automatic);
    const TokenStatistics of_text = statistics_of(corpus, tokenizer.get());
    if (tokenizer->end_of_text()) {
      --of_file.occurrences[*tokenizer->end_of_text()];
      --of_file.tokens;
      --of_file.longest;
    }
    EXPECT_EQ(of_text.occurrences, of_file.occurrences);
    EXPECT_EQ(of_text.tokens, of_file.tokens);
    EXPECT_EQ(of_text.longest, of_file.longest);
    EXPECT_EQ(of_text.words, of_file.words);
  }
  CorpusReader corpus({folder / "a.txt"}, CorpusFormat::automatic);
  const TokenStatistics plain = statistics_of(corpus, nullptr);
  EXPECT_EQ(plain.longest, text.size());
  EXPECT_EQ(plain.tokens, 0);
}

TEST(CountText, CountsWhatTheTokensStandFor) {
  const TemporaryFolder folder;
  for (const auto& tokenizer : sample_tokenizers()) {
    const TokenFileInfo info =
        test::write_tokens(folder / "a.npy", {"two wo", "rds", "", " and \n more"}, tokenizer);
    const TokenFile file(folder / "a.npy");
    EXPECT_EQ(count_text(file, file.size()), (TextCounts{info.words, info.bytes}));
    EXPECT_EQ(count_text(file, info.documents[1]), (TextCounts{2, 6}));
    EXPECT_EQ(count_text(file, 0), TextCounts{});
  }
}

}  // namespace
}  // namespace ecp
