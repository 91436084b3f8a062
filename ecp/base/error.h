// The project's one exception type. A message is one line that names the thing, what was expected and what
// came, and where: `fail("data.train '{}': expected at least {} tokens, got {}", path, n + 1, size)`.
// Libraries throw; only the command line prints and chooses exit codes.
//
// Messages quote names from files that strangers made. Line ends and other control characters in them, which
// could also steer a terminal, are shown as \n and \x1b.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace ecp {

/// `text` with control characters spelled out.
std::string printable(std::string text);

class Error : public std::runtime_error {
 public:
  explicit Error(std::string message) : std::runtime_error(printable(std::move(message))) {}
};

template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

template <typename... Args>
void require(bool condition, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) fail(format, std::forward<Args>(args)...);
}

}  // namespace ecp
