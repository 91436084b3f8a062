// A program run to its end, its output collected.
#pragma once

#include <string>
#include <vector>

#include "ecp/base/files.h"

namespace ecp::cli {

struct Child {
  int code = 0;            // exit code, or 128 + signal
  bool timed_out = false;  // it was ended after the time allowed
  std::string output, errors;
};

/// Runs `program` with `arguments`, its standard input empty, for at most `seconds`. It ends with this
/// process, and with Interrupted (base/interrupt.h). Fails if it can't be started.
Child run_child(const Path& program, const std::vector<std::string>& arguments, double seconds);

}  // namespace ecp::cli
