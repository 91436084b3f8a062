#include "ecp/text/split_pattern.h"

#include <array>
#include <cstdint>

#include "ecp/text/unicode.h"

namespace ecp::text {
namespace {

constexpr std::string_view gpt2_regex =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view llama3_regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

enum class Kind : std::uint8_t { letter, number, space, other, end };

Kind kind_of(char32_t code) {
  if (is_white_space(code)) return Kind::space;
  if (is_letter(code)) return Kind::letter;
  return is_number(code) ? Kind::number : Kind::other;
}

const std::array<Kind, 128> ascii_kinds = [] {
  std::array<Kind, 128> kinds{};
  for (char32_t c = 0; c < kinds.size(); ++c) kinds[c] = kind_of(c);
  return kinds;
}();

/// Goes over characters of the text.
struct Cursor {
  std::string_view text;
  std::size_t at;
  Kind kind = Kind::end;
  std::uint32_t bytes = 0;

  Cursor(std::string_view whole, std::size_t begin) : text(whole), at(begin) { look(); }
  void look() {
    if (at >= text.size()) {
      kind = Kind::end;
      return;
    }
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte < 0x80) {
      kind = ascii_kinds[byte];
      bytes = 1;
    } else {
      const Character c = character_at(text, at);
      kind = kind_of(c.code);
      bytes = c.bytes;
    }
  }
  void next() {
    at += bytes;
    look();
  }
  void skip(Kind run) {
    while (kind == run) next();
  }
  [[nodiscard]] bool is_line_end() const {
    return kind == Kind::space && (text[at] == '\n' || text[at] == '\r');
  }
};

/// 's 't 're 've 'm 'll 'd; in any case also with the long s, which Unicode folds to s.
std::size_t contraction(std::string_view rest, bool any_case) {
  if (rest.size() < 2 || rest[0] != '\'') return 0;
  const auto letter = [&](std::size_t i) {
    const char c = i < rest.size() ? rest[i] : '\0';
    return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  const char first = letter(1), second = letter(2);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l'))
    return 3;
  return any_case && rest.substr(1).starts_with("\u017F") ? 3 : 0;
}

/// \s+(?!\S)|\s+ where `cursor` stands on white space: the run, without its last character if something
/// follows.
std::size_t white_space(Cursor cursor, std::size_t begin) {
  std::size_t last = cursor.at;
  while (cursor.kind == Kind::space) {
    last = cursor.at;
    cursor.next();
  }
  return cursor.kind == Kind::end || last == begin ? cursor.at - begin : last - begin;
}

std::size_t match_gpt2(std::string_view text, std::size_t begin) {
  if (const std::size_t length = contraction(text.substr(begin), false)) return length;
  Cursor cursor(text, begin);
  if (text[begin] == ' ') cursor.next();
  if (cursor.kind != Kind::space && cursor.kind != Kind::end) {
    cursor.skip(cursor.kind);
    return cursor.at - begin;
  }
  return white_space(Cursor(text, begin), begin);
}

std::size_t match_llama3(std::string_view text, std::size_t begin) {
  if (const std::size_t length = contraction(text.substr(begin), true)) return length;
  const Cursor first(text, begin);
  Cursor cursor = first;
  if (first.kind != Kind::letter && first.kind != Kind::number && !first.is_line_end()) cursor.next();
  if (cursor.kind == Kind::letter) {
    cursor.skip(Kind::letter);
    return cursor.at - begin;
  }
  cursor = first;
  if (first.kind == Kind::number) {
    for (int i = 0; i < 3 && cursor.kind == Kind::number; ++i) cursor.next();
    return cursor.at - begin;
  }
  if (text[begin] == ' ') cursor.next();
  if (cursor.kind == Kind::other) {
    cursor.skip(Kind::other);
    while (cursor.is_line_end()) cursor.next();
    return cursor.at - begin;
  }
  std::size_t line_end = 0;
  for (cursor = first; cursor.kind == Kind::space; cursor.next()) {
    if (cursor.is_line_end()) line_end = cursor.at + 1 - begin;
  }
  return line_end > 0 ? line_end : white_space(first, begin);
}

}  // namespace

std::optional<SplitPattern> split_pattern(std::string_view regex) {
  if (regex == gpt2_regex) return SplitPattern::gpt2;
  if (regex == llama3_regex) return SplitPattern::llama3;
  return std::nullopt;
}

std::size_t match_length(SplitPattern pattern, std::string_view text, std::size_t begin) {
  return pattern == SplitPattern::gpt2 ? match_gpt2(text, begin) : match_llama3(text, begin);
}

}  // namespace ecp::text
