// SIGINT (Ctrl-C) and SIGTERM as requests to stop: long work asks now and then and ends in order.
#pragma once

#include "ecp/base/error.h"

namespace ecp {

/// Thrown by work that was asked to stop and has cleaned up after itself. The command line ends with 128 plus
/// the signal's number, as shells expect.
class Interrupted : public Error {
 public:
  explicit Interrupted(int signal);
  [[nodiscard]] int signal() const { return signal_; }

 private:
  int signal_;
};

/// While it lives, the first SIGINT or SIGTERM is noted; any after it ends the process at once. A blocked
/// system call returns EINTR. For programs; one at a time, or Error.
class StopRequests {
 public:
  StopRequests();
  StopRequests(const StopRequests&) = delete;
  StopRequests& operator=(const StopRequests&) = delete;
  ~StopRequests();
};

/// The signal that was noted; 0: none, or nobody is noting. Cheap, from any thread.
int stop_requested() noexcept;
/// Throws Interrupted if a signal was noted.
void check_interrupt();

}  // namespace ecp
