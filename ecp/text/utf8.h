// UTF-8: where text is well formed, where it may be cut, and how words are counted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ecp {

struct Utf8Prefix {
  std::size_t length;  // bytes of the longest well-formed beginning, in whole characters
  bool incomplete;     // what follows it may be the beginning of a character that was cut off
};

/// Well formed as Unicode defines it: no overlong forms, no surrogates, nothing beyond U+10FFFF.
Utf8Prefix utf8_prefix(std::string_view text);
inline bool is_utf8(std::string_view text) { return utf8_prefix(text).length == text.size(); }
/// The largest position ≤ `position` that is not inside a character of the well-formed `text`; at most three
/// bytes less in text that isn't.
std::size_t utf8_floor(std::string_view text, std::size_t position);

/// Text is encoded segment by segment: a line end is a segment; so is a run of spaces with the run of other
/// characters that follows it, cut after `longest_segment` bytes at most (at a character's boundary).
constexpr std::size_t longest_segment = std::size_t{1} << 14;
/// Length of the first segment of non-empty `text`.
std::size_t next_segment(std::string_view text);
/// The last position > 0 at which a segment of `text` surely begins or ends, whatever may follow `text`; 0 if
/// there is none yet. `text` itself begins with a segment.
std::size_t last_segment_boundary(std::string_view text);

/// Counts words of text that comes in pieces: maximal runs of characters that are not Unicode white space
/// (property White_Space). Pieces may be cut anywhere; bytes that are not UTF-8 count as part of a word.
/// With `line_ends`, each "\n" counts as a word as well, as WikiText's official counts do.
class WordCounter {
 public:
  explicit WordCounter(bool line_ends = false) : line_ends_(line_ends) {}

  void add(std::string_view text);
  /// The next piece begins a new word.
  void end_document();
  [[nodiscard]] std::uint64_t words() const { return words_; }

 private:
  void other();  // a character that is not white space

  bool line_ends_;
  bool in_word_ = false;
  std::uint64_t words_ = 0;
  std::uint32_t pending_ = 0;  // first bytes of what may be a white-space character, big-endian
};

}  // namespace ecp
