// SIGINT (Ctrl-C) and SIGTERM as requests to stop: long work asks now and then and ends in order.
#pragma once

#include <cstddef>
#include <memory>

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
/// system call returns EINTR. For programs, in their main thread; one at a time, or Error.
///
/// The handler runs on a stack of its own: while oneDNN 2.6's generated kernels compute, the stack pointer
/// holds an address of data, and what the system puts there for a handler would overwrite it.
class StopRequests {
 public:
  StopRequests();
  StopRequests(const StopRequests&) = delete;
  StopRequests& operator=(const StopRequests&) = delete;
  ~StopRequests();
  /// The request that was noted was followed; the next one is the first again.
  static void forget() noexcept;

 private:
  std::unique_ptr<std::byte[]> stack_;
};

/// Makes this thread, and those that it starts, leave SIGINT and SIGTERM to others: for threads that compute,
/// which have no such stack.
void leave_stop_requests_to_others() noexcept;

/// The signal that was noted; 0: none, or nobody is noting. Cheap, from any thread.
int stop_requested() noexcept;
/// Throws Interrupted if a signal was noted.
void check_interrupt();

}  // namespace ecp
