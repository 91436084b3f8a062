#include "ecp/cli/child.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>

#include "ecp/base/error.h"
#include "ecp/base/interrupt.h"

namespace ecp::cli {
namespace {

constexpr std::size_t most_output = 1 << 20;  // of each stream; the rest is read and dropped

/// The two ends of a pipe, closed at the end.
class Pipe {
 public:
  Pipe() {
    if (::pipe2(ends_.data(), O_CLOEXEC) != 0) fail("cannot make a pipe: {}", std::strerror(errno));
  }
  ~Pipe() {
    close(0);
    close(1);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  [[nodiscard]] int end(std::size_t which) const { return ends_[which]; }
  void close(std::size_t which) {
    if (ends_[which] >= 0) ::close(ends_[which]);
    ends_[which] = -1;
  }
  /// Takes what is there; closes at the end of it.
  void drain(std::string& text) {
    std::array<char, 4096> buffer;
    const ssize_t got = ::read(ends_[0], buffer.data(), buffer.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (got <= 0) return close(0);
    if (text.size() < most_output) text.append(buffer.data(), static_cast<std::size_t>(got));
  }

 private:
  std::array<int, 2> ends_{-1, -1};
};

/// Ends the child if it is still there when this goes.
class Process {
 public:
  explicit Process(pid_t id) : id_(id) {}
  ~Process() {
    if (id_ <= 0) return;
    ::kill(id_, SIGKILL);
    wait();
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  int wait() {
    int status = 0;
    while (::waitpid(id_, &status, 0) < 0 && errno == EINTR) {
    }
    id_ = -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

 private:
  pid_t id_;
};

[[noreturn]] void become(const Path& program, char* const* argv, const Pipe& output, const Pipe& errors) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::dup2(nothing, STDIN_FILENO);
  ::dup2(output.end(1), STDOUT_FILENO);
  ::dup2(errors.end(1), STDERR_FILENO);
  ::execv(program.c_str(), argv);
  ::_exit(127);
}

}  // namespace

Child run_child(const Path& program, const std::vector<std::string>& arguments, double seconds) {
  if (::access(program.c_str(), X_OK) != 0) {
    fail("cannot run '{}': {}", program.string(), std::strerror(errno));
  }
  std::string name = program.filename().string();
  std::vector<char*> argv{name.data()};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);

  Pipe output, errors;
  const pid_t id = ::fork();
  if (id < 0) fail("cannot start '{}': {}", program.string(), std::strerror(errno));
  if (id == 0) become(program, argv.data(), output, errors);
  Process process(id);
  output.close(1);
  errors.close(1);

  Child child;
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (output.end(0) >= 0 || errors.end(0) >= 0) {
    check_interrupt();
    if (std::chrono::steady_clock::now() >= end) {
      child.timed_out = true;
      return child;
    }
    std::array<pollfd, 2> waiting{pollfd{output.end(0), POLLIN, 0}, pollfd{errors.end(0), POLLIN, 0}};
    if (::poll(waiting.data(), waiting.size(), 100) <= 0) continue;
    if (waiting[0].revents != 0) output.drain(child.output);
    if (waiting[1].revents != 0) errors.drain(child.errors);
  }
  child.code = process.wait();
  return child;
}

}  // namespace ecp::cli
