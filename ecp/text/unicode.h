// Characters of well-formed UTF-8 and their Unicode categories (utf8proc's tables). For sources of this room.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ecp::text {

struct Character {
  char32_t code;
  std::uint32_t bytes;  // 1 … 4
};

/// The character that begins at `position`. The text must be well formed and longer than `position`.
inline Character character_at(std::string_view text, std::size_t position) {
  const auto byte = [&](std::size_t i) {
    return static_cast<char32_t>(static_cast<unsigned char>(text[position + i]));
  };
  const char32_t first = byte(0);
  if (first < 0x80) return {first, 1};
  if (first < 0xE0) return {(first & 0x1F) << 6 | (byte(1) & 0x3F), 2};
  if (first < 0xF0) return {(first & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), 3};
  return {(first & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F), 4};
}

/// Where the character before `position` (> 0) begins.
inline std::size_t previous_character(std::string_view text, std::size_t position) {
  do {
    --position;
  } while ((static_cast<unsigned char>(text[position]) & 0xC0) == 0x80);
  return position;
}

/// Appends the character in UTF-8.
void append_character(char32_t code, std::string& text);

bool is_letter(char32_t code);       // categories L*
bool is_number(char32_t code);       // N*
bool is_punctuation(char32_t code);  // P*
bool is_control(char32_t code);      // Cc, Cf, Co, Cs
/// Property White_Space.
constexpr bool is_white_space(char32_t code) {
  if (code < 0x85) return code == ' ' || (code >= '\t' && code <= '\r');
  return code == 0x85 || code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) ||
         code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

/// Whether text may be cut before `position` for every tokenizer that looks at whole words: a single space
/// between an ASCII letter or digit and an ASCII letter stands there, or a line end between two characters
/// that are not white space ends there. Whatever patterns split words do so here in the whole text as well.
bool is_word_cut(std::string_view text, std::size_t position);

}  // namespace ecp::text
