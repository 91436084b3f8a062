#include "ecp/runtime/text_stream.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "ecp/text/utf8.h"

namespace ecp::runtime {
namespace {

/// Everything that comes out for `bytes` cut into pieces of these sizes; each piece must be whole characters.
std::string assemble(std::string_view bytes, const std::vector<std::size_t>& sizes) {
  Utf8Assembler characters;
  std::string all;
  for (std::size_t i = 0; !bytes.empty(); ++i) {
    const std::size_t count = std::min(bytes.size(), sizes[i % sizes.size()]);
    const std::string text = characters.push(bytes.substr(0, count));
    EXPECT_TRUE(is_utf8(text));
    all += text;
    bytes.remove_prefix(count);
  }
  return all + characters.finish();
}

TEST(Utf8AssemblerTest, CharactersComeWhole) {
  Utf8Assembler characters;
  EXPECT_EQ(characters.push("a\xC3"), "a");
  EXPECT_EQ(characters.push("\xA9z"), "\xC3\xA9z");
  EXPECT_EQ(characters.push("\xF0"), "");
  EXPECT_EQ(characters.push("\x9F\x98"), "");
  EXPECT_EQ(characters.push("\x80"), "\xF0\x9F\x98\x80");
  EXPECT_EQ(characters.finish(), "");
}

TEST(Utf8AssemblerTest, WhatCannotBecomeACharacterIsReplaced) {
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(assemble("\x80", {1}), r);                           // a continuation alone
  EXPECT_EQ(assemble("\xC3", {1}), r);                           // cut off at the end
  EXPECT_EQ(assemble("\xC3z", {1}), r + "z");                    // interrupted
  EXPECT_EQ(assemble("\xE2\x82z", {1}), r + "z");                // one for the longest beginning
  EXPECT_EQ(assemble("\xC0\xAF", {1}), r + r);                   // overlong
  EXPECT_EQ(assemble("\xED\xA0\x80", {1}), r + r + r);           // a surrogate
  EXPECT_EQ(assemble("\xF4\x90\x80\x80", {1}), r + r + r + r);   // beyond U+10FFFF
  EXPECT_EQ(assemble("\xF0\x9F\xC3\xA9", {1}), r + "\xC3\xA9");  // then a good one
  EXPECT_EQ(assemble("\xFF\xFE", {2}), r + r);
}

TEST(Utf8AssemblerTest, TheCutsMakeNoDifference) {
  EXPECT_TRUE(rc::check("any bytes, any pieces", [] {
    const auto values = *rc::gen::container<std::vector<int>>(rc::gen::element(
        0x41, 0x7F, 0x80, 0x9F, 0xA0, 0xBF, 0xC1, 0xC3, 0xE0, 0xE2, 0xED, 0xEF, 0xF0, 0xF4, 0xF5, 0xFF));
    const auto sizes =
        *rc::gen::nonEmpty(rc::gen::container<std::vector<std::size_t>>(rc::gen::inRange<std::size_t>(1, 5)));
    std::string bytes;
    for (const int value : values) bytes += static_cast<char>(value);
    const std::string whole = assemble(bytes, {bytes.size() + 1});
    RC_ASSERT(assemble(bytes, sizes) == whole);
    if (is_utf8(bytes)) RC_ASSERT(whole == bytes);
  }));
}

/// All text let through, piece by piece of `size` bytes.
std::string filter(const std::vector<std::string>& stops, const std::string& text, std::size_t size) {
  StopMatcher matcher(stops);
  std::string all;
  for (std::size_t i = 0; i < text.size(); i += size) all += matcher.push(text.substr(i, size));
  return all + matcher.finish();
}

TEST(StopMatcherTest, EndsBeforeTheStringThatIsCompleteFirst) {
  for (const std::size_t size : {1, 2, 3, 100}) {
    EXPECT_EQ(filter({}, "anything", size), "anything");
    EXPECT_EQ(filter({"END"}, "text END more", size), "text ");
    EXPECT_EQ(filter({"END"}, "text EN", size), "text EN");
    EXPECT_EQ(filter({"ENDE", "EN"}, "xENDEx", size), "x");
    EXPECT_EQ(filter({"bcd", "abcde", "zz"}, "xabcdef", size), "xa");
    EXPECT_EQ(filter({"cd", "abcd"}, "xabcd", size), "x");  // end together: the longer one
    EXPECT_EQ(filter({"aab"}, "aaab", size), "a");
    EXPECT_EQ(filter({"\n\n"}, "a\nb\n\nc", size), "a\nb");
  }
}

TEST(StopMatcherTest, HoldsBackOnlyWhatMayBeginAStop) {
  StopMatcher matcher({"stop!", "top?"});
  EXPECT_EQ(matcher.push("a st"), "a ");
  EXPECT_EQ(matcher.push("o"), "");
  EXPECT_EQ(matcher.push("p"), "");
  EXPECT_EQ(matcher.push("s"), "stop");
  EXPECT_EQ(matcher.push("x"), "sx");
  EXPECT_FALSE(matcher.stopped());
  EXPECT_EQ(matcher.push("top?rest"), "");
  EXPECT_TRUE(matcher.stopped());
  EXPECT_EQ(matcher.push("more"), "");
  EXPECT_EQ(matcher.finish(), "");
}

TEST(StopMatcherTest, TheCutsMakeNoDifferenceAndNothingLeaks) {
  EXPECT_TRUE(rc::check("any text of few letters", [] {
    const auto letters = rc::gen::container<std::string>(rc::gen::element('a', 'b', 'c'));
    const auto text = *letters;
    const auto stops = *rc::gen::container<std::vector<std::string>>(rc::gen::nonEmpty(letters));
    const auto size = *rc::gen::inRange<std::size_t>(1, 6);
    const std::string once = filter(stops, text, 1);
    RC_ASSERT(filter(stops, text, size) == once);
    RC_ASSERT(text.starts_with(once));
    for (const std::string& stop : stops) RC_ASSERT(once.find(stop) == std::string::npos);
    bool contained = false;
    for (const std::string& stop : stops) contained = contained || text.find(stop) != std::string::npos;
    RC_ASSERT(contained == (once != text));
  }));
}

}  // namespace
}  // namespace ecp::runtime
