#include "ecp/cli/terminal.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "ecp/text/utf8.h"

namespace ecp::cli {
namespace {

constexpr double log_seconds = 15;

std::size_t terminal_width() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

/// Columns that `text` takes, counting UTF-8 characters as one each.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

bool looks_numeric(std::string_view text) {
  return !text.empty() && (text == "-" || (text.front() >= '0' && text.front() <= '9') ||
                           ((text.front() == '-' || text.front() == '+') && text.size() > 1));
}

std::string scaled(double value, double step, std::string_view separator,
                   const std::vector<std::string>& units) {
  std::size_t unit = 0;
  while (value >= step * 0.9995 && unit + 1 < units.size()) {
    value /= step;
    ++unit;
  }
  const int digits = unit == 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return fmt::format("{:.{}f}{}{}", value, digits, separator, units[unit]);
}

}  // namespace

bool is_terminal() {
  const char* term = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) == 1 && term != nullptr && std::string_view(term) != "dumb";
}

std::string format_bytes(std::uint64_t bytes) {
  return scaled(static_cast<double>(bytes), 1000, " ", {"B", "kB", "MB", "GB", "TB"});
}

std::string format_count(double count) { return scaled(count, 1000, "", {"", "k", "M", "G", "T"}); }

std::string format_seconds(double seconds) {
  const auto s = static_cast<std::int64_t>(std::clamp(seconds, 0.0, 1e9) + 0.5);
  if (s >= 3600) return fmt::format("{}h {:02}m", s / 3600, s / 60 % 60);
  if (s >= 60) return fmt::format("{}m {:02}s", s / 60, s % 60);
  return fmt::format("{}s", s);
}

std::string harmless(std::string_view text) {
  // C1 controls, marks and overrides of direction, separators of lines and paragraphs, the byte order mark.
  const auto is_command = [](std::string_view c) {
    if (c.size() == 2) return c[0] == '\xC2' && static_cast<unsigned char>(c[1]) < 0xA0;
    return c == "\u061C" || c == "\uFEFF" || (c >= "\u200E" && c <= "\u200F") ||
           (c >= "\u2028" && c <= "\u202E") || (c >= "\u2066" && c <= "\u2069");
  };
  std::string shown;
  while (!text.empty()) {
    std::size_t length = 1;
    while (length < 4 && length <= text.size() && utf8_prefix(text.substr(0, length)).length == 0) ++length;
    length = std::min(length, text.size());
    const std::string_view c = text.substr(0, length);
    const bool character = utf8_prefix(c).length == length;
    if (character && length == 1 && c[0] >= ' ' && c[0] != 0x7F) {
      shown += c == "\\" ? "\\\\" : c;
    } else if (character && length > 1 && !is_command(c)) {
      shown += c;
    } else {
      if (!character) length = 1;
      for (const char byte : text.substr(0, length))
        shown += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
    }
    text.remove_prefix(length);
  }
  return shown;
}

double ratio(std::uint64_t a, std::uint64_t b) {
  return b > 0 ? static_cast<double>(a) / static_cast<double>(b) : 0;
}

StatusLine::StatusLine() : terminal_(is_terminal()), last_(Clock::now() - std::chrono::hours(1)) {}

StatusLine::~StatusLine() { finish(); }

void StatusLine::update(std::string_view text, bool force) {
  const auto now = Clock::now();
  const double since = std::chrono::duration<double>(now - last_).count();
  if (!force && since < (terminal_ ? 0.1 : log_seconds)) return;
  last_ = now;
  if (!terminal_) {
    fmt::print(stderr, "{}\n", text);
    return;
  }
  std::string line(text);
  const std::size_t width = terminal_width();
  while (!line.empty() && width_of(line) >= width) line.pop_back();
  fmt::print(stderr, "\r\x1b[K{}", line);
  std::fflush(stderr);
  shown_ = true;
}

void StatusLine::print(std::string_view line) {
  if (shown_) fmt::print(stderr, "\r\x1b[K");
  shown_ = false;
  fmt::print(stderr, "{}\n", line);
}

void StatusLine::finish() {
  if (shown_) fmt::print(stderr, "\n");
  shown_ = false;
}

ProgressFunction progress_bar() {
  struct State {
    StatusLine line;
    std::chrono::steady_clock::time_point start;  // of `what`, as far as anybody told
    std::uint64_t done = 0;                       // by then
    std::string what;
  };
  auto state = std::make_shared<State>();
  return [state](const Progress& progress) {
    const auto now = std::chrono::steady_clock::now();
    if (state->what != progress.what) {
      if (!state->what.empty()) state->line.finish();
      state->what = progress.what;
      state->start = now;
      state->done = progress.done;
    }
    constexpr double shortest = 0.2;  // that a rate can be told from
    const double seconds = std::chrono::duration<double>(now - state->start).count();
    const double rate = seconds < shortest ? 0 : static_cast<double>(progress.done - state->done) / seconds;
    const bool bytes = progress.unit == "B";
    const auto amount = [&](double value) {
      return bytes ? format_bytes(static_cast<std::uint64_t>(value))
                   : format_count(value) + " " + std::string(progress.unit);
    };
    const bool finished = progress.total > 0 && progress.done >= progress.total;
    std::string text = fmt::format("{}: {}", progress.what, amount(static_cast<double>(progress.done)));
    if (progress.total > 0) {
      constexpr std::size_t cells = 24;
      const double share =
          std::min(1.0, static_cast<double>(progress.done) / static_cast<double>(progress.total));
      const auto full = static_cast<std::size_t>(share * cells);
      if (is_terminal()) {
        text = fmt::format("{} [{}{}] {}", progress.what, std::string(full, '#'),
                           std::string(cells - full, ' '), amount(static_cast<double>(progress.done)));
      }
      text += fmt::format(" of {} ({:.0f} %)", amount(static_cast<double>(progress.total)), share * 100);
    }
    if (rate > 0) text += fmt::format(", {}/s", amount(rate));
    if (progress.total > progress.done && rate > 0) {
      text += ", " + format_seconds(static_cast<double>(progress.total - progress.done) / rate) + " left";
    }
    state->line.update(text, finished);
    if (finished) state->line.finish();
  };
}

std::string format_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  std::string text;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::string line;
    for (std::size_t i = 0; i < rows[r].size(); ++i) {
      const std::string& cell = rows[r][i];
      const std::string padding(widths[i] - width_of(cell), ' ');
      const bool right =
          r == 0 ? rows.size() > 1 && i < rows[1].size() && looks_numeric(rows[1][i]) : looks_numeric(cell);
      line += (i > 0 ? "  " : "") + (right ? padding + cell : cell + padding);
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    text += line + "\n";
    if (r == 0) {
      std::size_t total = 2 * (widths.size() - 1);
      for (const std::size_t width : widths) total += width;
      text += std::string(total, '-') + "\n";
    }
  }
  return text;
}

}  // namespace ecp::cli
