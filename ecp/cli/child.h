// Other programs: one run to its end with its output collected, or several beside this one with logs.
#pragma once

#include <memory>
#include <optional>
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

/// A program that runs beside this one, its standard input empty. It ends with this process. Ctrl-C in the
/// terminal isn't for it: this process passes on what it wants to.
class LoggedChild {
 public:
  /// Starts it; what it writes is appended to `log`. Fails if it can't be started.
  LoggedChild(const Path& program, const std::vector<std::string>& arguments, const Path& log);
  LoggedChild(LoggedChild&&) noexcept;
  LoggedChild& operator=(LoggedChild&&) noexcept;
  /// Kills it if it still runs.
  ~LoggedChild();

  /// Its exit code, or 128 + signal, once it has ended.
  [[nodiscard]] std::optional<int> ended();
  /// Asks it to stop (SIGTERM), once.
  void ask_to_stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ecp::cli
