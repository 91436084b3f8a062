#include "ecp/text/windows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <set>

#include "ecp/base/error.h"
#include "tests/text/text_samples.h"

namespace ecp {
namespace {

using ::ecp::test::error_of;
using ::ecp::test::sample_tokenizers;
using ::ecp::test::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Byte tokens whose values are their positions modulo 251, in documents of the given lengths.
std::shared_ptr<const TokenFile> counting_file(const Path& path, const std::vector<std::size_t>& lengths) {
  TokenFileWriter writer(path, byte_tokenizer());
  std::size_t position = 0;
  for (const std::size_t length : lengths) {
    std::vector<Token> ids(length);
    for (Token& id : ids) id = static_cast<Token>(position++ % 251);
    writer.add_document(ids, length > 0 ? 1 : 0, length);
  }
  writer.commit();
  return std::make_shared<const TokenFile>(path);
}

TEST(WindowSampler, EachEpochUsesEveryWindowOnce) {
  const TemporaryFolder folder;
  int name = 0;
  for (const std::size_t tokens : {8, 9, 15, 16, 17, 100, 1000}) {
    const auto file = counting_file(folder / (std::to_string(name++) + ".npy"), {tokens});
    for (const std::int64_t n : {1, 3, 7}) {
      WindowSampler sampler({file}, {}, n, 11);
      std::uint64_t sample = 0;
      std::set<std::uint64_t> offsets;
      for (std::uint64_t epoch = 0; epoch < 20; ++epoch) {
        std::set<std::uint64_t> begins;
        const std::uint64_t windows = sampler.windows_per_epoch(0, epoch);
        ASSERT_GE(windows, 1);
        for (std::uint64_t i = 0; i < windows; ++i) {
          EXPECT_EQ(sampler.position()[0], (WindowPosition{epoch, i, sample}));
          const Window window = sampler.next();
          EXPECT_EQ(window.sample, sample++);
          EXPECT_LE(window.begin + static_cast<std::uint64_t>(n) + 1, tokens);
          begins.insert(window.begin);
        }
        ASSERT_EQ(begins.size(), windows);
        const std::uint64_t offset = *begins.begin();
        offsets.insert(offset);
        EXPECT_LT(offset, static_cast<std::uint64_t>(n));
        EXPECT_EQ(*begins.rbegin(), offset + (windows - 1) * static_cast<std::uint64_t>(n));
        EXPECT_GT(offset + (windows + 1) * static_cast<std::uint64_t>(n) + 1, tokens);  // no other would fit
      }
      if (n > 1 && tokens > 2 * static_cast<std::size_t>(n)) {
        EXPECT_GT(offsets.size(), 1);
      }
    }
  }
}

TEST(WindowSampler, ReadsConsecutiveTokens) {
  const TemporaryFolder folder;
  WindowSampler sampler({counting_file(folder / "a.npy", {500})}, {}, 32, 3);
  std::vector<std::int64_t> ids(33);
  for (int i = 0; i < 40; ++i) {
    const Window window = sampler.next();
    sampler.read(window, ids);
    for (std::size_t k = 0; k < ids.size(); ++k)
      ASSERT_EQ(ids[k], static_cast<std::int64_t>((window.begin + k) % 251));
  }
  std::vector<std::int64_t> wrong(32);
  EXPECT_THROW(sampler.read(sampler.next(), wrong), Error);
}

TEST(WindowSampler, ResumesExactlyFromAnyPlace) {
  const TemporaryFolder folder;
  const std::vector<std::shared_ptr<const TokenFile>> files = {counting_file(folder / "a.npy", {200}),
                                                               counting_file(folder / "b.npy", {70, 30}),
                                                               counting_file(folder / "c.npy", {12})};
  EXPECT_TRUE(rc::check("restored == unbroken", [&] {
    const auto seed = *rc::gen::arbitrary<std::uint64_t>();
    const auto n = *rc::gen::inRange<std::int64_t>(1, 12);
    WindowSampler unbroken(files, {5, 2, 1}, n, seed);
    const int stop = *rc::gen::inRange(0, 200);
    for (int i = 0; i < stop; ++i) unbroken.next();
    WindowSampler resumed(files, {5, 2, 1}, n, seed);
    resumed.restore(unbroken.position());
    for (int i = 0; i < 100; ++i) RC_ASSERT(resumed.next() == unbroken.next());
  }));
}

TEST(WindowSampler, SeedsGiveDifferentOrders) {
  const TemporaryFolder folder;
  const auto file = counting_file(folder / "a.npy", {1000});
  WindowSampler a({file}, {}, 10, 1), b({file}, {}, 10, 2), again({file}, {}, 10, 1);
  int equal = 0;
  for (int i = 0; i < 200; ++i) {
    const Window window = a.next();
    EXPECT_EQ(window, again.next());
    equal += window == b.next() ? 1 : 0;
  }
  EXPECT_LT(equal, 20);
}

TEST(WindowSampler, MixtureKeepsItsShares) {
  const TemporaryFolder folder;
  const auto a = counting_file(folder / "a.npy", {900});
  const auto b = counting_file(folder / "b.npy", {100});
  const auto c = counting_file(folder / "c.npy", {50});
  const auto check = [&](const std::vector<double>& weights, const std::vector<double>& shares) {
    WindowSampler sampler({a, b, c}, weights, 8, 4);
    std::vector<double> drawn(3);
    for (int i = 1; i <= 3000; ++i) {
      ++drawn[static_cast<std::size_t>(sampler.next().file)];
      for (std::size_t k = 0; k < 3; ++k) ASSERT_LT(std::abs(drawn[k] - shares[k] * i), 2.0) << i;
    }
  };
  check({1, 1, 1}, {1.0 / 3, 1.0 / 3, 1.0 / 3});
  check({0.7, 0.2, 0.1}, {0.7, 0.2, 0.1});
  check({3, 0, 1}, {0.75, 0, 0.25});
  check({}, {900.0 / 1050, 100.0 / 1050, 50.0 / 1050});
}

TEST(WindowSampler, DocumentStartsAreWindowRows) {
  const TemporaryFolder folder;
  const auto file = counting_file(folder / "a.npy", {4, 1, 0, 6, 9});  // documents at 0, 4, 5, 5, 11
  const WindowSampler sampler({file}, {}, 6, 1);
  std::vector<std::int32_t> starts(6);
  sampler.document_starts({0, 0, 0}, starts);
  EXPECT_THAT(starts, ElementsAre(0, 0, 0, 0, 4, 5));
  sampler.document_starts({0, 4, 0}, starts);
  EXPECT_THAT(starts, ElementsAre(0, 1, 1, 1, 1, 1));
  sampler.document_starts({0, 6, 0}, starts);
  EXPECT_THAT(starts, ElementsAre(0, 0, 0, 0, 0, 5));
  sampler.document_starts({0, 13, 0}, starts);
  EXPECT_THAT(starts, ElementsAre(0, 0, 0, 0, 0, 0));
}

TEST(WindowSampler, TheEndOfTextBetweenDocumentsBeginsTheSecond) {
  const TemporaryFolder folder;
  for (const auto& tokenizer : sample_tokenizers()) {
    if (!tokenizer->end_of_text()) continue;
    TokenFileWriter writer(folder / "a.npy", tokenizer);
    for (const std::size_t length : {3U, 0U, 9U}) writer.add_document(std::vector<Token>(length, 5), 1, 20);
    writer.commit();  // [5 5 5 end] [end] [5 5 5 5 5 5 5 5 5 end]
    const WindowSampler sampler({std::make_shared<const TokenFile>(folder / "a.npy")}, {}, 6, 1);
    std::vector<std::int32_t> starts(6);
    sampler.document_starts({0, 0, 0}, starts);
    EXPECT_THAT(starts, ElementsAre(0, 0, 0, 3, 4, 4)) << tokenizer->kind();
    sampler.document_starts({0, 3, 0}, starts);
    EXPECT_THAT(starts, ElementsAre(0, 1, 1, 1, 1, 1)) << tokenizer->kind();
    sampler.document_starts({0, 5, 0}, starts);
    EXPECT_THAT(starts, ElementsAre(0, 0, 0, 0, 0, 0)) << tokenizer->kind();
  }
}

TEST(WindowSampler, RowsNeverReachIntoAnotherDocument) {
  EXPECT_TRUE(rc::check("every row from its document's start on is of its document", [] {
    const auto lengths =
        *rc::gen::nonEmpty(rc::gen::container<std::vector<std::size_t>>(rc::gen::inRange<std::size_t>(0, 9)));
    const auto n = *rc::gen::inRange<std::int64_t>(1, 12);
    const TemporaryFolder folder;
    std::size_t sum = 0;
    for (const std::size_t length : lengths) sum += length;
    RC_PRE(sum > static_cast<std::size_t>(n));
    const auto file = counting_file(folder / "a.npy", lengths);
    const auto& documents = file->info().documents;
    const auto document_of = [&](std::uint64_t token) {
      return std::upper_bound(documents.begin(), documents.end(), token) - documents.begin();
    };
    WindowSampler sampler({file}, {}, n, 3);
    std::vector<std::int32_t> starts(static_cast<std::size_t>(n));
    for (int draw = 0; draw < 20; ++draw) {
      const Window window = sampler.next();
      sampler.document_starts(window, starts);
      for (std::int32_t row = 0; row < n; ++row) {
        const std::int32_t start = starts[static_cast<std::size_t>(row)];
        RC_ASSERT(start >= 0 && start <= row);
        const auto own = document_of(window.begin + static_cast<std::uint64_t>(row));
        RC_ASSERT(document_of(window.begin + static_cast<std::uint64_t>(start)) == own);
        // And all of the document that is in the window is seen.
        RC_ASSERT(start == 0 || document_of(window.begin + static_cast<std::uint64_t>(start) - 1) != own);
      }
    }
  }));
}

TEST(WindowSamplerBadInput, SaysWhatIsWrong) {
  const TemporaryFolder folder;
  const auto a = counting_file(folder / "a.npy", {10});
  EXPECT_THAT(error_of([&] { WindowSampler({a}, {}, 10, 1); }),
              HasSubstr("a.npy': expected at least 11 tokens for windows of 10, got 10"));
  EXPECT_EQ(error_of([&] { WindowSampler({a}, {}, 9, 1); }), "");
  EXPECT_THAT(error_of([&] { WindowSampler({a}, {}, 0, 1); }), HasSubstr("at least 1 token"));
  EXPECT_THAT(error_of([&] { WindowSampler({}, {}, 1, 1); }), HasSubstr("no token files"));
  EXPECT_THAT(error_of([&] {
                WindowSampler({a}, {1, 2}, 4, 1);
              }),
              HasSubstr("one weight for each of the 1 files, got 2"));
  EXPECT_THAT(error_of([&] { WindowSampler({a}, {0}, 4, 1); }), HasSubstr("positive sum"));
  EXPECT_THAT(error_of([&] { WindowSampler({a}, {-1}, 4, 1); }), HasSubstr("at least 0"));
  EXPECT_THAT(error_of([&] { WindowSampler({a}, {std::numeric_limits<double>::quiet_NaN()}, 4, 1); }),
              HasSubstr("at least 0"));

  TokenFileWriter writer(folder / "b.npy", sample_tokenizers()[1]);
  writer.add_document(std::vector<Token>(20, 5), 1, 1);
  writer.commit();
  const auto b = std::make_shared<const TokenFile>(folder / "b.npy");
  EXPECT_THAT(error_of([&] {
                WindowSampler({a, b}, {}, 4, 1);
              }),
              HasSubstr("b.npy': expected the tokenizer of"));

  WindowSampler sampler({a}, {}, 4, 1);
  EXPECT_THAT(error_of([&] { sampler.restore({}); }), HasSubstr("one for each of the 1 files, got 0"));
  EXPECT_THAT(error_of([&] { sampler.restore({{0, 99, 99}}); }), HasSubstr("data position of"));
  EXPECT_THAT(error_of([&] { sampler.restore({{3, 0, 1}}); }), HasSubstr("data position of"));
}

}  // namespace
}  // namespace ecp
