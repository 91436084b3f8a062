// From tokens' bytes to text that can be shown: whole characters only, and nothing of a stop string.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ecp::runtime {

/// Assembles UTF-8 characters from pieces of bytes. Bytes that can't become a character any more are replaced
/// by U+FFFD, one for each longest run that could have begun one (as the Unicode standard recommends).
class Utf8Assembler {
 public:
  /// The text that is certain with these bytes.
  std::string push(std::string_view bytes);
  /// What is left at the end: an unfinished character is replaced.
  std::string finish();
  /// What is not certain yet: the beginning of one character, less than 4 bytes.
  [[nodiscard]] const std::string& pending() const { return pending_; }

 private:
  std::string pending_;
};

/// Lets text through up to the first stop string. Text that may turn out to begin one is held back.
class StopMatcher {
 public:
  explicit StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {}
  /// One that goes on from where another stood.
  StopMatcher(std::vector<std::string> stops, std::string held, bool stopped)
      : stops_(std::move(stops)), held_(std::move(held)), stopped_(stopped) {}

  /// The text that is certain with this piece; empty after a stop. How the text is cut into pieces makes no
  /// difference: it ends before the stop string that is complete first.
  std::string push(std::string_view text);
  /// What was held back, at the end.
  std::string finish();
  [[nodiscard]] bool stopped() const { return stopped_; }
  [[nodiscard]] const std::string& held() const { return held_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace ecp::runtime
