#include "ecp/cli/comparison_runs.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <deque>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/base/interrupt.h"
#include "ecp/base/last_line.h"
#include "ecp/cli/app.h"
#include "ecp/cli/child.h"
#include "ecp/cli/delegate.h"
#include "ecp/cli/terminal.h"

namespace ecp::cli {
namespace {

using Arguments = std::vector<std::string>;

class Runs {
 public:
  Runs(const ComparisonPlan& plan, const RunOptions& options, const std::function<void()>& renew)
      : plan_(plan), options_(options), renew_(renew), program_(require_ecp_torch("compare")) {
    for (const PlannedRun& run : plan.runs) {
      if (plan.stage_of(run) == RunStage::scored) {
        ++done_;
      } else {
        waiting_.push_back(&run);
      }
    }
  }

  bool all() {
    if (done_ > 0) line_.print(fmt::format("{} of {} runs are done already", done_, plan_.runs.size()));
    while (!waiting_.empty() || !active_.empty()) {
      const bool stop = stop_requested() != 0;
      if (stop) ask_to_stop();
      if (stop && active_.empty()) break;
      while (!stop && !waiting_.empty() && static_cast<int>(active_.size()) < options_.jobs) {
        const PlannedRun& run = *waiting_.front();
        waiting_.pop_front();
        begin(run);
      }
      for (std::size_t i = 0; i < active_.size();) {
        if (const auto code = active_[i].child.ended()) {
          const PlannedRun& run = *active_[i].run;
          const Work work = active_[i].work;
          active_.erase(active_.begin() + static_cast<std::ptrdiff_t>(i));
          ended(run, work, *code);
        } else {
          ++i;
        }
      }
      show();
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    line_.finish();
    return stop_requested() == 0 && !stopped_;
  }

 private:
  /// What a process does: it trains, or scores the text of this number.
  using Work = std::optional<std::size_t>;

  struct Active {
    const PlannedRun* run;
    Work work;
    LoggedChild child;
  };

  [[nodiscard]] Arguments training(const PlannedRun& run) const {
    Arguments arguments = {"train"};
    std::error_code error;
    if (std::filesystem::exists(run.folder / "config.toml", error)) {
      arguments.insert(arguments.end(), {"--output", run.folder.string(), "--resume"});
    } else {
      const PlannedModel& model = plan_.models[run.model];
      arguments.insert(arguments.end(), {plan_.config_file(model).string(), "--output", run.folder.string(),
                                         "--set", fmt::format("train.seed={}", run.seed)});
    }
    if (options_.threads > 0)
      arguments.insert(arguments.end(), {"--set", fmt::format("train.threads={}", options_.threads)});
    return arguments;
  }

  [[nodiscard]] Arguments scoring(const PlannedRun& run, const PlannedText& text) const {
    const PlannedModel& model = plan_.models[run.model];
    const std::int64_t threads = options_.threads > 0 ? options_.threads : model.config.train.threads;
    Arguments arguments = {"eval",      run.folder.string(),
                           "--data",    text.path.string(),
                           "--context", std::to_string(model.context),
                           "--batch",   std::to_string(model.config.eval.batch),
                           "--output",  plan_.evaluation_file(run, text).string()};
    if (model.scored_rows < model.config.model.sequence)
      arguments.insert(arguments.end(), {"--scored-rows", std::to_string(model.scored_rows)});
    if (!model.config.data.cross_documents) arguments.emplace_back("--documents-apart");
    if (threads > 0) arguments.insert(arguments.end(), {"--threads", std::to_string(threads)});
    return arguments;
  }

  /// The next thing that a run needs, or none: it is done.
  void begin(const PlannedRun& run) {
    const RunStage stage = plan_.stage_of(run);
    if (stage == RunStage::scored) {
      ++done_;
      line_.print(fmt::format("{}: done", run.name));
      return renew_();
    }
    if (stage != RunStage::trained) return start(run, std::nullopt, training(run));
    for (std::size_t i = 0; i < plan_.texts.size(); ++i) {
      if (!plan_.is_scored(run, plan_.texts[i])) return start(run, i, scoring(run, plan_.texts[i]));
    }
  }

  void start(const PlannedRun& run, Work work, const Arguments& arguments) {
    line_.print(fmt::format("{}: {}", run.name,
                            work ? "scoring " + plan_.texts[*work].name
                            : arguments.back() == "--resume" || arguments[1] == "--output"
                                ? "training, from where it was"
                                : "training"));
    active_.push_back({&run, work, LoggedChild(program_, arguments, run.log)});
  }

  void ended(const PlannedRun& run, Work work, int code) {
    const bool stop = stop_requested() != 0;
    if (code == exit_stopped || (stop && (code == 128 + SIGTERM || code == 128 + SIGINT))) {
      stopped_ = true;
      line_.print(fmt::format("{}: stopped", run.name));
      return;
    }
    try {
      require(code < 128, "ended by signal {} ({})", code - 128, strsignal(code - 128));
      require(code == 0, "{}", std::string_view(last_line(run.log)).substr(0, 2000));
      if (work) record_scored(plan_, run, plan_.texts[*work]);
      require(work || plan_.stage_of(run) >= RunStage::trained, "training ended before its end");
    } catch (const Error& error) {
      // The log's last line is where the report looks.
      const std::string_view text = error.what(), mark = "ecp: error: ";
      if (code >= 128 || code == 0) append_lines(run.log, fmt::format("{}{}\n", mark, text));
      line_.print(
          fmt::format("{}: failed: {}", run.name, text.starts_with(mark) ? text.substr(mark.size()) : text));
      return renew_();
    }
    if (stop) {
      stopped_ = true;
      return;
    }
    begin(run);
  }

  void ask_to_stop() {
    if (!told_ && !active_.empty()) line_.print("stopping with checkpoints; once more to stop at once");
    told_ = true;
    for (Active& one : active_) one.child.ask_to_stop();
  }

  void show() {
    std::string text = fmt::format("{} of {} runs done", done_, plan_.runs.size());
    for (const Active& one : active_)
      text += fmt::format("; {}: {}", one.run->name, harmless(last_line(one.run->log)));
    line_.update(text);
  }

  const ComparisonPlan& plan_;
  const RunOptions& options_;
  const std::function<void()>& renew_;
  Path program_;
  StatusLine line_;
  std::deque<const PlannedRun*> waiting_;
  std::vector<Active> active_;
  std::size_t done_ = 0;
  bool told_ = false, stopped_ = false;
};

}  // namespace

bool make_runs(const ComparisonPlan& plan, const RunOptions& options, const std::function<void()>& renew) {
  return Runs(plan, options, renew).all();
}

}  // namespace ecp::cli
