#include "ecp/base/interrupt.h"

#include <atomic>
#include <csignal>

namespace ecp {
namespace {

std::atomic<int> noted = 0;  // lock-free, so a signal handler may use it
bool noting = false;
struct sigaction before_int {
}, before_term{};

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
  noting = true;
  noted = 0;
  struct sigaction action {};
  action.sa_handler = note;  // without SA_RESTART: a read that blocks must come back
  ::sigaction(SIGINT, &action, &before_int);
  ::sigaction(SIGTERM, &action, &before_term);
}

StopRequests::~StopRequests() {
  ::sigaction(SIGINT, &before_int, nullptr);
  ::sigaction(SIGTERM, &before_term, nullptr);
  noted = 0;
  noting = false;
}

int stop_requested() noexcept { return noted; }

void check_interrupt() {
  const int signal = noted;
  if (signal != 0) throw Interrupted(signal);
}

}  // namespace ecp
