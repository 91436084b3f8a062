#include "ecp/text/unicode.h"

#include <utf8proc.h>

namespace ecp::text {
namespace {

utf8proc_category_t category(char32_t code) { return utf8proc_category(static_cast<utf8proc_int32_t>(code)); }

bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

}  // namespace

void append_character(char32_t code, std::string& text) {
  const auto put = [&](char32_t byte) { text += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xC0 | code >> 6);
  } else {
    if (code < 0x10000) {
      put(0xE0 | code >> 12);
    } else {
      put(0xF0 | code >> 18);
      put(0x80 | (code >> 12 & 0x3F));
    }
    put(0x80 | (code >> 6 & 0x3F));
  }
  put(0x80 | (code & 0x3F));
}

bool is_letter(char32_t code) {
  const utf8proc_category_t found = category(code);
  return found >= UTF8PROC_CATEGORY_LU && found <= UTF8PROC_CATEGORY_LO;
}

bool is_number(char32_t code) {
  const utf8proc_category_t found = category(code);
  return found >= UTF8PROC_CATEGORY_ND && found <= UTF8PROC_CATEGORY_NO;
}

bool is_punctuation(char32_t code) {
  const utf8proc_category_t found = category(code);
  return found >= UTF8PROC_CATEGORY_PC && found <= UTF8PROC_CATEGORY_PO;
}

bool is_control(char32_t code) {
  const utf8proc_category_t found = category(code);
  return found >= UTF8PROC_CATEGORY_CC && found <= UTF8PROC_CATEGORY_CO;
}

bool is_word_cut(std::string_view text, std::size_t position) {
  if (position < 2 || position + 1 >= text.size()) return false;
  const char before = text[position - 1];
  if (text[position] == ' ') {
    return is_ascii_letter(text[position + 1]) &&
           (is_ascii_letter(before) || (before >= '0' && before <= '9'));
  }
  if (before != '\n' || (static_cast<unsigned char>(text[position]) & 0xC0) == 0x80) return false;
  // The whole of both neighbours has to be there: the last four bytes are left to the next part.
  if (position + 4 > text.size()) return false;
  return !is_white_space(character_at(text, position).code) &&
         !is_white_space(character_at(text, previous_character(text, position - 1)).code);
}

}  // namespace ecp::text
