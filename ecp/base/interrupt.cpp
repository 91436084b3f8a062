#include "ecp/base/interrupt.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>

namespace ecp {
namespace {

std::atomic<int> noted = 0;  // lock-free, so a signal handler may use it
bool noting = false;
struct sigaction before_int {
}, before_term{};
stack_t stack_before{};

/// Room for the frame that the system puts there, with all registers, and for the handler.
std::size_t stack_bytes() {
  const long least = ::sysconf(_SC_MINSIGSTKSZ);
  return static_cast<std::size_t>(std::max(least, 16384L)) + 16384;
}

extern "C" void note(int signal) {
  if (noted != 0) {  // asked again: at once
    std::signal(signal, SIG_DFL);
    std::raise(signal);
    return;
  }
  noted = signal;
}

}  // namespace

Interrupted::Interrupted(int signal)
    : Error(fmt::format("interrupted by {}", signal == SIGINT ? "SIGINT" : "SIGTERM")), signal_(signal) {}

StopRequests::StopRequests() {
  require(!noting, "stop requests: somebody notes them already");
  stack_ = std::make_unique<std::byte[]>(stack_bytes());
  stack_t stack{};
  stack.ss_sp = stack_.get();
  stack.ss_size = stack_bytes();
  require(::sigaltstack(&stack, &stack_before) == 0, "stop requests: no stack for them");
  noting = true;
  noted = 0;
  struct sigaction action {};
  action.sa_handler = note;
  action.sa_flags = SA_ONSTACK;  // without SA_RESTART: a read that blocks must come back
  ::sigaction(SIGINT, &action, &before_int);
  ::sigaction(SIGTERM, &action, &before_term);
}

StopRequests::~StopRequests() {
  ::sigaction(SIGINT, &before_int, nullptr);
  ::sigaction(SIGTERM, &before_term, nullptr);
  ::sigaltstack(&stack_before, nullptr);
  noted = 0;
  noting = false;
}

void StopRequests::forget() noexcept { noted = 0; }

void leave_stop_requests_to_others() noexcept {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGINT);
  ::sigaddset(&signals, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

int stop_requested() noexcept { return noted; }

void check_interrupt() {
  const int signal = noted;
  if (signal != 0) throw Interrupted(signal);
}

}  // namespace ecp
