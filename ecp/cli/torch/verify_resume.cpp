#include "ecp/cli/torch/verify_resume.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/base/interrupt.h"
#include "ecp/cli/terminal.h"
#include "ecp/train/run_comparison.h"
#include "ecp/train/run_folder.h"
#include "ecp/train/trainer.h"

namespace ecp::cli {
namespace {

/// The user's configuration for so few steps: one evaluation in the middle, one at the end.
Config shortened(Config config, std::int64_t steps) {
  config.train.steps = 2 * steps;
  config.train.minutes = 0;
  config.train.eval_every = steps;
  config.train.checkpoint_every = 0;
  config.train.sample_every = 0;
  config.train.sample_tokens = std::min<std::int64_t>(config.train.sample_tokens, 16);
  config.train.log_every =
      std::min<std::int64_t>(config.train.log_every, 3);  // so that sums are carried over
  return config;
}

/// Both runs' folder; deleted in the end unless kept.
class Scratch {
 public:
  explicit Scratch(Path path) : path_(std::move(path)) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    std::error_code error;
    if (!kept_) std::filesystem::remove_all(path_, error);
  }
  void keep() { kept_ = true; }
  [[nodiscard]] Path operator/(const char* name) const { return path_ / name; }

 private:
  Path path_;
  bool kept_ = false;
};

TrainObserver watched(StatusLine& line, const char* what, std::int64_t steps, std::int64_t stop_after) {
  TrainObserver observer;
  auto now = std::make_shared<std::int64_t>(0);
  observer.stepped = [&line, what, steps, now](const StepReport& report) {
    *now = report.step;
    line.update(fmt::format("{}  step {}/{}  loss {:.4f}  {} tokens/s", what, report.step, steps, report.loss,
                            format_count(report.tokens_per_second)),
                report.step == steps);
  };
  observer.stop = [now, stop_after] { return stop_requested() != 0 || *now == stop_after; };
  return observer;
}

/// `ecp-torch train --output RUN --resume` in a process of its own; what it says goes to `log`.
void resume_in_new_process(const Path& run, const Path& log) {
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                     0644);
  ::posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
  std::vector<std::string> words{"ecp-torch", "train", "--output", run.string(), "--resume"};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t child = 0;
  const int code = ::posix_spawn(&child, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  require(code == 0, "cannot start a second process: {}", std::strerror(code));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno == EINTR && stop_requested() != 0) ::kill(child, stop_requested());
  }
  check_interrupt();
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  std::string said = read_file(log);
  while (said.ends_with('\n')) said.pop_back();
  fail("the resumed process failed: {}", said.substr(said.rfind('\n') + 1));
}

}  // namespace

void verify_resume(Config config, const Path& folder, std::int64_t steps) {
  RunFolder(folder).require_new();
  const std::int64_t all = 2 * steps;
  if (config.train.minutes > 0) {
    fmt::print(stderr, "train.minutes follows the clock, which never repeats: {} steps are trained instead\n",
               all);
  }
  config = shortened(std::move(config), steps);
  const std::int64_t stop_after = 1 + static_cast<std::int64_t>(std::random_device{}() % (all - 1));
  Scratch scratch(folder);
  const StopRequests requests;
  StatusLine line;
  train(config, scratch / "whole", watched(line, "unbroken", all, -1));
  check_interrupt();
  train(config, scratch / "parts", watched(line, "to be stopped", all, stop_after));
  check_interrupt();
  line.update(fmt::format("going on from step {} in a new process", stop_after), true);
  resume_in_new_process(scratch / "parts", scratch / "resume.log");
  line.finish();

  std::vector<std::vector<std::string>> table{{"", "compared", "result"}};
  bool same = true;
  for (const Compared& part : compare_runs(scratch / "whole", scratch / "parts")) {
    table.push_back({part.what, part.size, part.difference.empty() ? "identical" : part.difference});
    same = same && part.difference.empty();
  }
  fmt::print("{}", format_table(table));
  if (!same) {
    scratch.keep();
    fail("a run stopped after step {} of {} is not the unbroken one; both are kept in '{}'", stop_after, all,
         folder.string());
  }
  fmt::print("stopped after step {} of {}, the run ends bit for bit like the unbroken one\n", stop_after,
             all);
}

}  // namespace ecp::cli
