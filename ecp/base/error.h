// Throwing `Error` with a formatted message:
// `fail("data.train '{}': expected at least {} tokens, got {}", path, n + 1, size)`.
// Libraries throw; only the command line prints and chooses exit codes.
#pragma once

#include <fmt/core.h>

#include <utility>

#include "ecp/base/exception.h"

namespace ecp {

template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

template <typename... Args>
void require(bool condition, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) fail(format, std::forward<Args>(args)...);
}

}  // namespace ecp
