// How long work reports itself: the library calls, the command line draws (a bar with rate and time left on a
// terminal, plain lines in a log). An empty function is silence.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace ecp {

struct Progress {
  std::string_view what;    // "tokenizing"
  std::uint64_t done = 0;   // in units
  std::uint64_t total = 0;  // 0: not known
  std::string_view unit;    // "B", "tokens"; bytes are shown as kB, MB, GB
};

using ProgressFunction = std::function<void(const Progress&)>;

}  // namespace ecp
