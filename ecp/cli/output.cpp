#include "ecp/cli/output.h"

#include <fmt/core.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>

#include "ecp/base/error.h"
#include "ecp/base/interrupt.h"

namespace ecp::cli {

bool show(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0)
    return true;
  const int reason = errno;
  if (reason == EPIPE || stop_requested() != 0) {
    std::clearerr(stdout);  // nothing is wrong
    return false;
  }
  fail("cannot write to standard output: {}", std::strerror(reason));
}

int finish_output() {
  std::cout.flush();
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0 && std::cout.good()) return 0;
  if (errno == EPIPE) return 0;  // its reader has seen enough
  fmt::print(stderr, "ecp: error: cannot write to standard output{}\n",
             errno != 0 ? fmt::format(": {}", std::strerror(errno)) : "");
  return 1;
}

}  // namespace ecp::cli
