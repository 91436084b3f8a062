// Text in and out: prompts, ends, stops, seeds, documents.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "cycle_model.h"
#include "ecp/base/error.h"
#include "ecp/text/utf8.h"

namespace ecp {
namespace {

std::string all_text(Session& session) {
  std::string text;
  while (const auto piece = session.next()) {
    EXPECT_FALSE(piece->empty());
    EXPECT_TRUE(is_utf8(*piece));
    text += *piece;
  }
  EXPECT_FALSE(session.next().has_value());
  return text;
}

TEST(SessionTest, GoesOnFromThePromptAsFarAsAllowed) {
  const auto model = saying("abcd");
  Session session = model->session({.max_tokens = 6});
  session.prompt("xya");
  EXPECT_EQ(all_text(session), "bcdabc");
  EXPECT_EQ(session.generated(), 6u);
  EXPECT_EQ(session.position(), 9u);
  session.prompt("");  // six more
  EXPECT_EQ(all_text(session), "dabcda");
  session.prompt("c");
  EXPECT_EQ(all_text(session), "dabcda");
  EXPECT_EQ(session.generated(), 18u);
}

TEST(SessionTest, StartsADocumentWithoutAPrompt) {
  const auto model = saying("abcd");
  Session session = model->session({.max_tokens = 3});
  EXPECT_EQ(all_text(session), "abc");
  EXPECT_EQ(session.position(), 4u);  // after an end of text
}

TEST(SessionTest, EndOfTextEndsItUnlessIgnored) {
  const auto model = saying("abcd", Token{257});
  Session session = model->session();
  session.prompt("b");
  EXPECT_EQ(all_text(session), "cd");
  Session endless = model->session({.max_tokens = 7, .ignore_end_of_text = true, .document_break = "|"});
  endless.prompt("b");
  EXPECT_EQ(all_text(endless), "cd|abcd");
}

TEST(SessionTest, CharactersComeWholeAndStopStringsNeverShow) {
  const auto model = saying("a\xC3\xA9\xF0\x9F\x98\x80z");
  Session session = model->session({.max_tokens = 8});
  session.prompt("z");
  std::vector<std::string> pieces;
  while (const auto piece = session.next()) pieces.push_back(*piece);
  EXPECT_THAT(pieces, testing::ElementsAre("a", "\xC3\xA9", "\xF0\x9F\x98\x80", "z"));

  Session cut = model->session({.max_tokens = 5});  // in the midst of the last character
  cut.prompt("z");
  EXPECT_EQ(all_text(cut), "a\xC3\xA9\xEF\xBF\xBD");

  Session stopped = model->session({.stop = {"never", "\xF0\x9F\x98\x80z"}, .max_tokens = 100});
  stopped.prompt("z");
  EXPECT_EQ(all_text(stopped), "a\xC3\xA9");
}

TEST(SessionTest, AStopStringInsideATokenCutsIt) {
  const auto model = saying("ab", Token{256});
  Session session = model->session({.stop = {"stop"}, .max_tokens = 100});
  session.prompt("a");
  EXPECT_EQ(all_text(session), "b");
  Session later = model->session({.stop = {"pi"}, .max_tokens = 100});
  later.prompt("a");
  EXPECT_EQ(all_text(later), "bstop");
}

TEST(SessionTest, TheSeedDecides) {
  // No certainty at all: every token is as probable as any other.
  const auto model = cycle_model({}, 258, std::make_shared<TestTokenizer>());
  const auto draw = [&](std::uint64_t seed) {
    Session session =
        model->session({.temperature = 1, .seed = seed, .max_tokens = 40, .ignore_end_of_text = true});
    session.prompt("x");
    std::vector<Token> tokens;
    while (const auto token = session.next_token()) tokens.push_back(*token);
    return tokens;
  };
  EXPECT_EQ(draw(1), draw(1));
  EXPECT_NE(draw(1), draw(2));
  EXPECT_EQ(draw(3).size(), 40u);
}

TEST(SessionTest, StepsTellOfEachToken) {
  const auto model = saying(
      "a\xC3\xA9"
      "b",
      Token{257});
  Session session = model->session({.temperature = 0, .max_tokens = 10, .logprobs = 2});
  session.prompt("a");
  EXPECT_EQ(session.finish(), Finish::none);
  std::vector<std::string> texts;
  std::vector<Finish> finishes;
  while (const auto step = session.step()) {
    texts.push_back(step->text);
    finishes.push_back(step->finish);
    EXPECT_NEAR(step->logprob, 0, 1e-6);  // sure of it
    ASSERT_EQ(step->top.size(), 2u);
    EXPECT_EQ(step->top[0].token, step->token);
    EXPECT_LT(step->top[1].logprob, -10);
  }
  EXPECT_THAT(texts, testing::ElementsAre("", "\xC3\xA9", "b", ""));
  EXPECT_THAT(finishes, testing::ElementsAre(Finish::none, Finish::none, Finish::none, Finish::stop));
  EXPECT_EQ(session.finish(), Finish::stop);

  Session limited = model->session({.max_tokens = 1});
  limited.prompt("a");
  const auto last = limited.step();
  EXPECT_EQ(last->finish, Finish::length);
  EXPECT_EQ(last->text, "\xEF\xBF\xBD");  // half a character
  EXPECT_TRUE(last->top.empty());
  Session nothing = model->session({.max_tokens = 0});
  nothing.prompt("a");
  EXPECT_EQ(nothing.finish(), Finish::length);
  EXPECT_FALSE(nothing.step().has_value());
  Session stopped = model->session({.stop = {"b"}});
  stopped.prompt("a");
  while (stopped.step()) continue;
  EXPECT_EQ(stopped.finish(), Finish::stop);
}

TEST(SessionTest, BiasAndPenaltiesOfWhatWasGenerated) {
  const auto model = cycle_model(std::vector<Token>(258, Token{'q'}), 258, std::make_shared<TestTokenizer>());
  Session biased =
      model->session({.temperature = 0, .logit_bias = {{'z', 100.0f}, {9999, 1.0f}}, .max_tokens = 3});
  biased.prompt("qqq");
  EXPECT_EQ(all_text(biased), "zzz");
  // Each time that q was generated takes 20 off its logit of 50; the prompt's don't count.
  Session often = model->session({.temperature = 0, .frequency_penalty = 20, .max_tokens = 4});
  often.prompt("qqq");
  EXPECT_EQ(all_text(often).substr(0, 3), "qqq");
  EXPECT_NE(often.generated(), 0u);
  often.rewind(1);
  Session once = model->session({.temperature = 0, .presence_penalty = 60, .max_tokens = 2});
  once.prompt("qqq");
  const std::string text = all_text(once);
  EXPECT_EQ(text[0], 'q');
  EXPECT_NE(text[1], 'q');
}

TEST(SessionTest, ThePenaltySeesTheWindowOnly) {
  // Greedy with a strong penalty: a token returns only when it has left the window.
  const auto model = saying("abcd");
  Session session =
      model->session({.temperature = 0, .repetition_penalty = 100, .repetition_window = 2, .max_tokens = 8});
  session.prompt("d");
  EXPECT_EQ(all_text(session), "abcdabcd");
  const auto same = cycle_model(std::vector<Token>(258, Token{'q'}), 258, std::make_shared<TestTokenizer>());
  Session without = same->session({.temperature = 0, .max_tokens = 4});
  without.prompt("x");
  EXPECT_EQ(all_text(without), "qqqq");
}

/// Texts begin with a space, as in Llama 2's tokenizer.
class SpaceBeforeTokenizer : public TestTokenizer {
 public:
  void encode(std::string_view text, std::vector<Token>& ids) const override {
    ids.push_back(' ');
    encode_more(text, ids);
  }
  void encode_more(std::string_view text, std::vector<Token>& ids) const override {
    TestTokenizer::encode(text, ids);
  }
};

TEST(SessionTest, ALaterPromptGoesOnWithTheText) {
  Session session = cycle_model({}, 258, std::make_shared<SpaceBeforeTokenizer>())->session();
  session.prompt("ab");
  EXPECT_EQ(session.position(), 3);
  session.prompt("cd");
  EXPECT_EQ(session.position(), 5);
}

TEST(SessionTest, ATokenizerMayKnowFewerTokensThanTheModelButNotMore) {
  const auto tokenizer = std::make_shared<TestTokenizer>();
  EXPECT_THAT(
      [&] { cycle_model({}, 257, tokenizer); },
      testing::ThrowsMessage<Error>(testing::HasSubstr("257 tokens doesn't match the tokenizer's 258")));
  const auto model = cycle_model({}, 400, tokenizer);
  Session session = model->session({.temperature = 1, .max_tokens = 500, .ignore_end_of_text = true});
  session.prompt("x");
  while (const auto token = session.next_token()) EXPECT_LT(*token, 258u);
}

TEST(SessionTest, WithoutATokenizerTokensStillWork) {
  std::vector<Token> next = {1, 2, 0};
  const auto model = cycle_model(next, 4, nullptr);
  Session session = model->session({.max_tokens = 4});
  const std::vector<Token> prompt = {0};
  session.prompt(prompt);
  std::vector<Token> got;
  while (const auto token = session.next_token()) got.push_back(*token);
  EXPECT_EQ(got, (std::vector<Token>{1, 2, 0, 1}));
  Session empty = model->session();
  EXPECT_THROW(empty.next_token(), Error);
}

TEST(SessionTest, WeightsThatAreNotNumbersAreAnError) {
  const auto model = cycle_model({0, 1}, 258, std::make_shared<TestTokenizer>(), std::nanf(""));
  Session session = model->session();
  session.prompt(std::string_view("\0\1", 2));
  EXPECT_THAT([&] { session.next(); }, testing::ThrowsMessage<Error>(testing::HasSubstr("not usable")));
}

TEST(SessionTest, AbsurdSettingsAreRefused) {
  const auto model = saying("abcd");
  EXPECT_THROW(model->session({.temperature = -1}), Error);
  EXPECT_THROW(model->session({.top_p = 2}), Error);
  EXPECT_THROW(model->session({.presence_penalty = std::nanf("")}), Error);
  EXPECT_THROW(model->session({.frequency_penalty = 101}), Error);
  EXPECT_THROW(model->session({.logit_bias = {{1, std::nanf("")}}}), Error);
  EXPECT_THROW(model->session({.logprobs = 101}), Error);
}

}  // namespace
}  // namespace ecp
