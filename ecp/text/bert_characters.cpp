#include "ecp/text/bert_characters.h"

#include <algorithm>
#include <iterator>

#include "ecp/text/unicode.h"

namespace ecp::text {
namespace {

struct Range {
  char32_t first, last;
};

/// Punctuation and format characters of Unicode 9 to 15, letters to the tables of Unicode 8 that `tokenizers`
/// has.
constexpr Range letters_then[] = {
    {0x061D, 0x061D},   {0x0890, 0x0891},   {0x08E2, 0x08E2},   {0x09FD, 0x09FD},   {0x0A76, 0x0A76},
    {0x0C77, 0x0C77},   {0x0C84, 0x0C84},   {0x1B7D, 0x1B7E},   {0x2E43, 0x2E4F},   {0x2E52, 0x2E5D},
    {0x10EAD, 0x10EAD}, {0x10F55, 0x10F59}, {0x10F86, 0x10F89}, {0x110CD, 0x110CD}, {0x1144B, 0x1144F},
    {0x1145A, 0x1145B}, {0x1145D, 0x1145D}, {0x11660, 0x1166C}, {0x116B9, 0x116B9}, {0x1183B, 0x1183B},
    {0x11944, 0x11946}, {0x119E2, 0x119E2}, {0x11A3F, 0x11A46}, {0x11A9A, 0x11A9C}, {0x11A9E, 0x11AA2},
    {0x11B00, 0x11B09}, {0x11C41, 0x11C45}, {0x11C70, 0x11C71}, {0x11EF7, 0x11EF8}, {0x11F43, 0x11F4F},
    {0x11FFF, 0x11FFF}, {0x12FF1, 0x12FF2}, {0x13430, 0x1343F}, {0x16E97, 0x16E9A}, {0x16FE2, 0x16FE2},
    {0x1E95E, 0x1E95F}};

/// CJK ideographs; the gap before U+2B920 is that of `tokenizers`.
constexpr Range ideographs[] = {{0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},
                                {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F},
                                {0x2B920, 0x2CEAF}, {0x2F800, 0x2FA1F}};

template <std::size_t size>
bool is_in(char32_t code, const Range (&ranges)[size]) {
  const Range* found = std::upper_bound(std::begin(ranges), std::end(ranges), code,
                                        [](char32_t c, const Range& range) { return c <= range.last; });
  return found != std::end(ranges) && code >= found->first;
}

/// Was punctuation in Unicode 8: U+166D and U+111C9.
bool was_punctuation(char32_t code) { return code == 0x166D || code == 0x111C9; }

}  // namespace

BertClass bert_class(char32_t code) {
  if (code == '\t' || code == '\n' || code == '\r') return BertClass::space;
  if (code == 0xFFFD) return BertClass::removed;
  if (code < 0x80) {
    if (code < 0x20 || code == 0x7F) return BertClass::removed;
    if (code == ' ') return BertClass::space;
    const bool letter =
        (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z') || (code >= '0' && code <= '9');
    return letter ? BertClass::word : BertClass::alone;
  }
  if (is_in(code, letters_then)) return BertClass::word;
  if (is_control(code)) return BertClass::removed;
  if (is_white_space(code)) return BertClass::space;
  const bool alone = is_in(code, ideographs) || is_punctuation(code) || was_punctuation(code);
  return alone ? BertClass::alone : BertClass::word;
}

}  // namespace ecp::text
