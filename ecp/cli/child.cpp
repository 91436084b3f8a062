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
    return code_of(status);
  }

  /// The exit code if it has ended.
  std::optional<int> poll() {
    int status = 0;
    if (::waitpid(id_, &status, WNOHANG) != id_) return std::nullopt;
    return code_of(status);
  }

  void signal(int number) const {
    if (id_ > 0) ::kill(id_, number);
  }

 private:
  int code_of(int status) {
    id_ = -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

  pid_t id_;
};

/// A program's command line as exec takes it; refers to `arguments`.
class CommandLine {
 public:
  CommandLine(const Path& program, const std::vector<std::string>& arguments)
      : name_(program.filename().string()), argv_{name_.data()} {
    if (::access(program.c_str(), X_OK) != 0)
      fail("cannot run '{}': {}", program.string(), std::strerror(errno));
    for (const std::string& argument : arguments) argv_.push_back(const_cast<char*>(argument.c_str()));
    argv_.push_back(nullptr);
  }
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  [[nodiscard]] char* const* argv() const { return argv_.data(); }

 private:
  std::string name_;
  std::vector<char*> argv_;
};

/// In the forked process.
[[noreturn]] void become(const Path& program, char* const* argv, int output, int errors) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::dup2(nothing, STDIN_FILENO);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(errors, STDERR_FILENO);
  ::execv(program.c_str(), argv);
  ::_exit(127);
}

/// Keeps SIGINT and SIGTERM waiting while it lives, so that none is lost between fork and exec.
class HeldSignals {
 public:
  HeldSignals() {
    sigset_t held;
    ::sigemptyset(&held);
    ::sigaddset(&held, SIGINT);
    ::sigaddset(&held, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &held, &before_);
  }
  ~HeldSignals() { release(); }
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;
  void release() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

}  // namespace

Child run_child(const Path& program, const std::vector<std::string>& arguments, double seconds) {
  const CommandLine command(program, arguments);
  Pipe output, errors;
  const pid_t id = ::fork();
  if (id < 0) fail("cannot start '{}': {}", program.string(), std::strerror(errno));
  if (id == 0) become(program, command.argv(), output.end(1), errors.end(1));
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

struct LoggedChild::State {
  explicit State(pid_t id) : process(id) {}
  Process process;
  bool asked = false;
  std::optional<int> code;
};

LoggedChild::LoggedChild(const Path& program, const std::vector<std::string>& arguments, const Path& log) {
  const CommandLine command(program, arguments);
  const int file = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (file < 0) fail("cannot write '{}': {}", log.string(), std::strerror(errno));
  HeldSignals held;
  const pid_t id = ::fork();
  if (id == 0) {
    ::setpgid(0, 0);
    ::signal(SIGINT, SIG_DFL);
    ::signal(SIGTERM, SIG_DFL);
    held.release();
    become(program, command.argv(), file, file);
  }
  const int reason = errno;
  ::close(file);
  if (id < 0) fail("cannot start '{}': {}", program.string(), std::strerror(reason));
  state_ = std::make_unique<State>(id);
}

LoggedChild::LoggedChild(LoggedChild&&) noexcept = default;
LoggedChild& LoggedChild::operator=(LoggedChild&&) noexcept = default;
LoggedChild::~LoggedChild() = default;

std::optional<int> LoggedChild::ended() {
  if (!state_->code) state_->code = state_->process.poll();
  return state_->code;
}

void LoggedChild::ask_to_stop() {
  if (!state_->asked) state_->process.signal(SIGTERM);
  state_->asked = true;
}

}  // namespace ecp::cli
