#include "ecp/text/utf8.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace ecp {
namespace {

constexpr unsigned byte_at(std::string_view text, std::size_t i) {
  return static_cast<unsigned char>(text[i]);
}

constexpr bool is_continuation(unsigned byte) { return (byte & 0xC0) == 0x80; }

/// The beginning of a character: how many bytes it takes and which second bytes are well formed.
struct Lead {
  std::size_t length;
  unsigned least, most;
};

constexpr Lead lead(unsigned byte) {
  if (byte >= 0xC2 && byte <= 0xDF) return {2, 0x80, 0xBF};
  if (byte >= 0xE0 && byte <= 0xEF) return {3, byte == 0xE0 ? 0xA0u : 0x80u, byte == 0xED ? 0x9Fu : 0xBFu};
  if (byte >= 0xF0 && byte <= 0xF4) return {4, byte == 0xF0 ? 0x90u : 0x80u, byte == 0xF4 ? 0x8Fu : 0xBFu};
  return {0, 0, 0};
}

/// Bytes of ASCII text at the beginning of `text`, in steps of eight.
std::size_t skip_ascii(std::string_view text, std::size_t i) {
  for (; i + 8 <= text.size(); i += 8) {
    std::uint64_t eight = 0;
    std::memcpy(&eight, text.data() + i, 8);
    if ((eight & 0x8080808080808080u) != 0) break;
  }
  return i;
}

/// The first bytes of a white-space character, as a big-endian number.
enum class Space { no, beginning, yes };
constexpr Space is_wide_space(std::uint32_t bytes) {
  if (bytes == 0xC2 || bytes == 0xE1 || bytes == 0xE2 || bytes == 0xE3) return Space::beginning;
  if (bytes == 0xE19A || bytes == 0xE280 || bytes == 0xE281 || bytes == 0xE380) return Space::beginning;
  if (bytes == 0xC285 || bytes == 0xC2A0 || bytes == 0xE19A80 || bytes == 0xE2819F || bytes == 0xE38080)
    return Space::yes;
  if (bytes >= 0xE28080 && bytes <= 0xE2808A) return Space::yes;
  if (bytes == 0xE280A8 || bytes == 0xE280A9 || bytes == 0xE280AF) return Space::yes;
  return Space::no;
}

}  // namespace

Utf8Prefix utf8_prefix(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    i = skip_ascii(text, i);
    if (i == text.size()) break;
    const unsigned first = byte_at(text, i);
    if (first < 0x80) {
      ++i;
      continue;
    }
    const Lead expected = lead(first);
    if (expected.length == 0) return {i, false};
    for (std::size_t k = 1; k < expected.length; ++k) {
      if (i + k == text.size()) return {i, true};
      const unsigned byte = byte_at(text, i + k);
      const bool good = k == 1 ? byte >= expected.least && byte <= expected.most : is_continuation(byte);
      if (!good) return {i, false};
    }
    i += expected.length;
  }
  return {text.size(), false};
}

std::size_t utf8_floor(std::string_view text, std::size_t position) {
  if (position >= text.size()) return text.size();
  std::size_t floor = position;
  while (floor > 0 && position - floor < 3 && is_continuation(byte_at(text, floor))) --floor;
  return floor;
}

std::size_t next_segment(std::string_view text) {
  if (text.front() == '\n') return 1;
  const std::string_view head = text.substr(0, longest_segment + 1);
  std::size_t i = 0;
  while (i < head.size() && head[i] == ' ') ++i;
  while (i < head.size() && head[i] != ' ' && head[i] != '\n') ++i;
  return i <= longest_segment ? i : utf8_floor(text, longest_segment);
}

std::size_t last_segment_boundary(std::string_view text) {
  for (std::size_t i = text.size(); i > 0; --i) {
    if (text[i - 1] == '\n') return i;
    if (i < text.size() && text[i] == ' ' && text[i - 1] != ' ') return i;
  }
  return text.size() > longest_segment ? next_segment(text) : 0;
}

void WordCounter::other() {
  words_ += in_word_ ? 0 : 1;
  in_word_ = true;
}

void WordCounter::add(std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (pending_ != 0) {
      const std::uint32_t bytes = pending_ << 8 | byte;
      const Space space = is_wide_space(bytes);
      pending_ = space == Space::beginning ? bytes : 0;
      if (space == Space::yes) in_word_ = false;
      if (space != Space::no) continue;
      other();  // the pending bytes; this one is looked at afresh
    }
    if (byte == ' ' || (byte >= '\t' && byte <= '\r')) {
      in_word_ = false;
      if (line_ends_ && byte == '\n') ++words_;
    } else if (is_wide_space(byte) == Space::beginning) {
      pending_ = byte;
    } else {
      other();
    }
  }
}

void WordCounter::end_document() {
  if (pending_ != 0) other();
  pending_ = 0;
  in_word_ = false;
}

}  // namespace ecp
