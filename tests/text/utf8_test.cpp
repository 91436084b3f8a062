#include "ecp/text/utf8.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <string>
#include <vector>

namespace ecp {
namespace {

std::uint64_t words_of(std::string_view text, bool line_ends = false) {
  WordCounter counter(line_ends);
  counter.add(text);
  counter.end_document();
  return counter.words();
}

TEST(Utf8, FindsTheFirstFault) {
  struct Case {
    std::string_view text;
    std::size_t length;
    bool incomplete;
  };
  const std::vector<Case> cases = {
      {"", 0, false},
      {"plain", 5, false},
      {"é€😀", 9, false},
      {"ab\x80", 2, false},  // a continuation byte alone
      {"ab\xC3", 2, true},   // cut off
      {"ab\xE2\x82", 2, true},
      {"ab\xF0\x9F\x98", 2, true},
      {"\xC0\x80", 0, false},  // overlong
      {"\xC1\xBF", 0, false},
      {"\xE0\x80\x80", 0, false},
      {"\xE0\x9F\xBF", 0, false},
      {"\xF0\x8F\xBF\xBF", 0, false},
      {"\xED\xA0\x80", 0, false},  // surrogate
      {"\xED\x9F\xBF", 3, false},
      {"\xF4\x8F\xBF\xBF", 4, false},
      {"\xF4\x90\x80\x80", 0, false},  // beyond U+10FFFF
      {"\xF5", 0, false},
      {"\xFF", 0, false},
      {"\xE2\x28\xA1", 0, false},
      {"12345678abc\xFF", 11, false},  // behind a block of eight
      {"1234567é\xFF", 9, false},
  };
  for (const Case& c : cases) {
    const Utf8Prefix prefix = utf8_prefix(c.text);
    EXPECT_EQ(prefix.length, c.length) << c.text;
    EXPECT_EQ(prefix.incomplete, c.incomplete) << c.text;
  }
}

TEST(Utf8, FloorNeverSplitsACharacter) {
  const std::string text = "aé€😀b";
  const std::vector<std::size_t> floors = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11};
  for (std::size_t i = 0; i < floors.size(); ++i) EXPECT_EQ(utf8_floor(text, i), floors[i]) << i;
  EXPECT_EQ(utf8_floor(std::string(100, '\x80'), 50), 47);  // goes on where text isn't UTF-8
}

TEST(Segments, FollowTheirDefinition) {
  const auto segments = [](std::string_view text) {
    std::vector<std::string> found;
    while (!text.empty()) {
      found.emplace_back(text.substr(0, next_segment(text)));
      text.remove_prefix(found.back().size());
    }
    return found;
  };
  using Strings = std::vector<std::string>;
  EXPECT_EQ(segments("a bc  d\n\n e"), (Strings{"a", " bc", "  d", "\n", "\n", " e"}));
  EXPECT_EQ(segments("  \n x"), (Strings{"  ", "\n", " x"}));
  const std::string word(longest_segment - 1, 'w');
  EXPECT_EQ(segments(word + "é" + "x"), (Strings{word, "éx"}));
  EXPECT_EQ(segments(word + "w x"), (Strings{word + "w", " x"}));
}

TEST(Segments, BoundariesHoldWhateverFollows) {
  EXPECT_TRUE(rc::check("the last boundary is one of the segments'", [] {
    const auto text = *rc::gen::container<std::string>(rc::gen::element(' ', '\n', 'a', 'b'));
    const auto more = *rc::gen::container<std::string>(rc::gen::element(' ', '\n', 'a', 'b'));
    const std::size_t boundary = last_segment_boundary(text);
    const std::string whole = text + more;
    std::size_t position = 0;
    while (position < boundary) position += next_segment(std::string_view(whole).substr(position));
    RC_ASSERT(position == boundary);
  }));
  EXPECT_EQ(last_segment_boundary("word"), 0);
  EXPECT_EQ(last_segment_boundary("two words"), 3);
  EXPECT_EQ(last_segment_boundary("line\n"), 5);
  EXPECT_EQ(last_segment_boundary(std::string(longest_segment + 1, 'x')), longest_segment);
}

TEST(WordCounter, CountsRunsBetweenWhiteSpace) {
  EXPECT_EQ(words_of(""), 0);
  EXPECT_EQ(words_of(" \t\n\v\f\r"), 0);
  EXPECT_EQ(words_of("one"), 1);
  EXPECT_EQ(words_of("  one two\tthree\nfour  "), 4);
  EXPECT_EQ(words_of("a\u00A0b\u2003c\u3000d\u2028e\u1680f\u205Fg\u202Fh\u0085i"), 9);
  EXPECT_EQ(words_of("a\u200Bb"), 1);        // zero width space is not white space
  EXPECT_EQ(words_of("é â ã ả ễ 〱 ‐"), 7);  // characters that share first bytes with white space
  EXPECT_EQ(words_of("\xC2 \xE2\x80 \xFF\xFE"), 3);
  EXPECT_EQ(words_of("a\nb\n\n", true), 5);
}

TEST(WordCounter, PiecesDontMatter) {
  EXPECT_TRUE(rc::check("counting in pieces", [] {
    const auto parts = *rc::gen::container<std::vector<std::string>>(rc::gen::element<std::string>(
        " ", "\n", "a", "é", "\u2003", "\u3000", "‐", "\xE2", "\x80", "\xC2", "\x85", "word", "\xE2\x80"));
    std::string text;
    for (const std::string& part : parts) text += part;
    WordCounter bytewise;
    for (const char c : text) bytewise.add({&c, 1});
    bytewise.end_document();
    RC_ASSERT(bytewise.words() == words_of(text));
  }));
}

TEST(WordCounter, DocumentsEndWords) {
  WordCounter counter;
  counter.add("one");
  counter.end_document();
  counter.add("two");
  counter.end_document();
  EXPECT_EQ(counter.words(), 2);
}

}  // namespace
}  // namespace ecp
