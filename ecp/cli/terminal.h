// What a person sees while something long runs: one line that renews itself on a terminal, plain lines now
// and then in a log. All of it goes to standard error, so that results on standard output stay clean.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ecp/base/progress.h"

namespace ecp::cli {

/// True if standard error is a terminal that understands cursor movements.
bool is_terminal();

/// "1.2 GB", "340 kB", "12 B".
std::string format_bytes(std::uint64_t bytes);
/// "1.2M", "8.5k", "312".
std::string format_count(double count);
/// "1h 04m", "3m 20s", "45s".
std::string format_seconds(double seconds);

/// `text` without what could command a terminal or hide things on it: control characters (line ends and tabs,
/// too), marks of writing direction and bytes that aren't UTF-8 are written as \x1b, a backslash as two.
std::string harmless(std::string_view text);

/// a / b; 0 if b is.
double ratio(std::uint64_t a, std::uint64_t b);

/// A status line. `update` may be called often; it limits itself.
class StatusLine {
 public:
  StatusLine();
  ~StatusLine();
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;

  /// Shows `text` now on a terminal (at most ~10 times a second), every `log_seconds` in a log.
  void update(std::string_view text, bool force = false);
  /// Prints a line that stays, above the status line.
  void print(std::string_view line);
  /// Ends the status line.
  void finish();

 private:
  using Clock = std::chrono::steady_clock;
  bool terminal_;
  bool shown_ = false;
  Clock::time_point last_;
};

/// A ProgressFunction that draws a bar with rate and time left on a status line.
ProgressFunction progress_bar();

/// A table with aligned columns; the first row is the header; numbers (by their look) are right-aligned.
std::string format_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace ecp::cli
