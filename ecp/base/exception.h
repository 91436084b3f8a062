// What the library throws. A message is one line that names the thing, what was expected and what came, and
// where.
//
// Messages quote names from files that strangers made. Line ends and other control characters in them, which
// could also steer a terminal, are shown as \n and \x1b.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace ecp {

/// `text` with control characters spelled out.
std::string printable(std::string text);

/// The project's one exception type.
class Error : public std::runtime_error {
 public:
  /// Control characters in `message` are spelled out.
  explicit Error(std::string message) : std::runtime_error(printable(std::move(message))) {}
};

/// The file system or the user's quota is full: what failed can be tried again later.
class NoSpace : public Error {
 public:
  using Error::Error;
};

}  // namespace ecp
