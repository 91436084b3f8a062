// ecp train: a configuration into a run folder.
#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/base/interrupt.h"
#include "ecp/cli/app.h"
#include "ecp/cli/arguments.h"
#include "ecp/cli/terminal.h"
#include "ecp/cli/torch/commands.h"
#include "ecp/cli/torch/train_plan.h"
#include "ecp/cli/torch/verify_resume.h"
#include "ecp/config/config_file.h"
#include "ecp/train/run_folder.h"
#include "ecp/train/trainer.h"

namespace ecp::cli {
namespace {

struct Options {
  std::string config, output;
  std::vector<std::string> overrides;
  bool resume = false, plan = false, json = false;
  std::int64_t verify_steps = 0;
};

constexpr const char* footer =
    R"(A run folder holds config.toml, run.json, metrics.jsonl and checkpoints/ with the links last and best.
With --resume the stored configuration counts; CONFIG and --set may change only how long, how often and with
how many threads and how much memory (train.steps, minutes, threads, memory_limit, activation_checkpointing,
eval_every, checkpoint_every, keep, log_every, sample_*).
train.minutes counts time spent training; evaluations come on top. Paths are relative to the current folder.

Ctrl-C or SIGTERM ends the run after the step with a checkpoint to go on from, exit code 3; a second one ends it
at once. --resume takes the newest checkpoint that is whole.

Examples:
  ecp train configs/quickstart.toml --output runs/austen
  ecp train configs/quickstart.toml --output runs/small --set model.dim=128 --set train.lr=3e-3
  ecp train --output runs/austen --resume --set train.steps=2000
  ecp train configs/quickstart.toml --output runs/check --verify-resume 10
  ecp train configs/quickstart.toml --plan --set train.memory_limit=4)";

/// Text for a terminal: control characters would move its cursor.
std::string printable(const std::string& text) {
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f) {
      result += "\xEF\xBF\xBD";
    } else {
      result += c;
    }
  }
  return result;
}

/// Draws a run: facts, a progress line, a table of evaluations that grows, samples.
class Screen {
 public:
  [[nodiscard]] TrainObserver observer(const ModelConfig& model, const TrainConfig& train) {
    TrainObserver observer;
    observer.started = [this, model, train](const RunFacts& facts) { show(facts, model, train); };
    observer.stepped = [this](const StepReport& report) { show(report); };
    observer.evaluating = [this](const Progress& progress) {
      line_.update(fmt::format("step {}  {} {} of {} {}", step_, progress.what,
                               format_count(static_cast<double>(progress.done)),
                               format_count(static_cast<double>(progress.total)), progress.unit));
    };
    observer.evaluated = [this](std::int64_t step, const Measurement& result, bool best) {
      show(step, result, best);
    };
    observer.sampled = [this](const SampleReport& sample) {
      line_.print(fmt::format("sample at step {}:\n{}|{}", sample.step, printable(sample.prompt),
                              printable(sample.text)));
    };
    observer.skipped = [this](const SkipReport& skip) {
      line_.print(
          fmt::format("warning: step {} skipped: {}; the batch: {}", skip.step, skip.reason, skip.where));
    };
    observer.waiting = [this](const SpaceWanted& wanted) { show(wanted); };
    observer.warned = [this](std::string_view text) { line_.print(fmt::format("warning: {}", text)); };
    observer.stop = [this] { return stop(); };
    return observer;
  }

  void finish() { line_.finish(); }
  [[nodiscard]] std::string last_wanted() const { return wanted_; }
  [[nodiscard]] std::optional<std::int64_t> resumed_from() const { return resumed_from_; }

 private:
  void show(const RunFacts& facts, const ModelConfig& model, const TrainConfig& train) {
    const auto n = model.sequence;
    line_.print(fmt::format("model      {}, {} parameters, {} without embeddings", model.architecture,
                            format_count(static_cast<double>(facts.parameters)),
                            format_count(static_cast<double>(facts.parameters_without_embeddings))));
    line_.print(
        fmt::format("attention  {} of {} entries per layer and head at n = {}: {:.3g} % of full attention's",
                    facts.visible_entries, facts.visible_entries_full, n,
                    100.0 * static_cast<double>(facts.visible_entries) /
                        static_cast<double>(facts.visible_entries_full)));
    line_.print(step_line(facts, train, n));
    line_.print(fmt::format("device     {}, {}, {} threads{}", facts.device, facts.dtype, facts.threads,
                            facts.activation_checkpointing ? ", activation checkpointing" : ""));
    unit_ = facts.unit;
    resumed_from_ = facts.resumed_from;
    if (facts.resumed_from) line_.print(fmt::format("resumed    from step {}", *facts.resumed_from));
    of_steps_ = train.minutes > 0 ? "" : fmt::format("/{}", train.steps);
  }

  static std::string step_line(const RunFacts& facts, const TrainConfig& train, std::int64_t n) {
    const auto& [name, tokens] = facts.unit;
    std::string text = tokens == 1
                           ? fmt::format("{} tokens: {} x {} windows of {}", facts.tokens_per_step,
                                         train.accumulation, train.batch, n)
                           : fmt::format("{} {}: {} x {} of {} tokens", train.accumulation * train.batch,
                                         name, train.accumulation, train.batch, tokens);
    if (facts.tokens_per_epoch > 0) {
      const auto in_epoch = facts.tokens_per_epoch / static_cast<std::uint64_t>(tokens);
      text += fmt::format("; an epoch has {} {}", format_count(static_cast<double>(in_epoch)), name);
    }
    return "step       " + text;
  }

  void show(const StepReport& report) {
    step_ = report.step;
    line_.update(
        fmt::format("step {}{}  loss {:.4f}  {} {}/s  {} left  {} peak", report.step, of_steps_, report.loss,
                    format_count(report.tokens_per_second / static_cast<double>(unit_.tokens)), unit_.name,
                    format_seconds(report.seconds_left), format_bytes(report.peak_memory)),
        report.seconds_left <= 0);
  }

  void show(std::int64_t step, const Measurement& result, bool best) {
    std::string head = fmt::format("{:>8}", "step"), line = fmt::format("{:>8}", step);
    for (const auto& [name, value] : result.columns) {
      const std::size_t width = std::max<std::size_t>(9, name.size());
      head += fmt::format("  {:>{}}", name, width);
      line += fmt::format("  {:>{}}", value, width);
    }
    if (!header_shown_) line_.print(head);
    header_shown_ = true;
    line_.print(line + (best ? "  best" : ""));
  }

  void show(const SpaceWanted& wanted) {
    const std::string text =
        fmt::format("no space for the checkpoint of step {}: about {} needed, {} free", wanted.step,
                    format_bytes(wanted.needed), format_bytes(wanted.available));
    if (wanted_.empty()) {
      line_.print(fmt::format("warning: {}", wanted.reason));
      line_.print(fmt::format("warning: {}; waiting (earlier checkpoints stay; Ctrl-C stops)", text));
    }
    wanted_ = text;
    line_.update(fmt::format("{}; waiting for {}", text, format_seconds(wanted.seconds)));
  }

  bool stop() {
    if (stop_requested() == 0) return false;
    if (!stop_told_) line_.print("stopping with a checkpoint; once more to stop at once");
    stop_told_ = true;
    return true;
  }

  StatusLine line_;
  std::string of_steps_;
  Task::Unit unit_;
  std::string wanted_;
  bool stop_told_ = false;
  std::int64_t step_ = 0;
  bool header_shown_ = false;
  std::optional<std::int64_t> resumed_from_;
};

void report(const TrainOutcome& outcome, const TrainConfig& config, std::optional<std::int64_t> resumed_from,
            const std::string& output) {
  if (resumed_from == outcome.step && outcome.finished) {
    const char* field = config.minutes > 0 ? "minutes" : "steps";
    fmt::print("the run is already at its end, step {}; more with --set train.{}=N, N in all\n{}\n",
               outcome.step, field, output);
    return;
  }
  fmt::print("{} {} steps, {} tokens, in {}", outcome.finished ? "trained" : "stopped after", outcome.step,
             format_count(static_cast<double>(outcome.tokens)), format_seconds(outcome.seconds));
  if (outcome.skipped > 0) fmt::print("; {} steps skipped", outcome.skipped);
  if (outcome.best_step) fmt::print("; {} at step {}", outcome.best, *outcome.best_step);
  fmt::print("\n{}\n", output);
  if (!outcome.finished) fmt::print("go on with: ecp train --output {} --resume\n", output);
}

void run(const Options& options) {
  require(options.resume || !options.config.empty(), "expected a CONFIG (or --resume)");
  if (options.plan) return show_plan(read_config(options.config, options.overrides), options.json);
  const RunFolder folder(options.output);
  if (options.resume) {
    folder.require_started();
  } else {
    folder.require_new();
  }
  const Path path = options.config.empty() ? folder.config() : Path(options.config);
  const Config config = read_config(path, options.overrides);
  if (options.verify_steps > 0) return verify_resume(config, options.output, options.verify_steps);
  Screen screen;
  const StopRequests requests;
  const TrainObserver observer = screen.observer(config.model, config.train);
  const TrainOutcome outcome =
      options.resume ? resume(options.output, config, observer) : train(config, options.output, observer);
  screen.finish();
  if (!outcome.saved) {
    const std::string why = screen.last_wanted();
    fail("stopped after step {} without a checkpoint of it{}{}", outcome.step, why.empty() ? "" : ": ", why);
  }
  report(outcome, config.train, screen.resumed_from(), options.output);
  if (!outcome.finished) throw CLI::RuntimeError(exit_stopped);
}

}  // namespace

void add_train(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("train", "Train a model from a configuration");
  command->add_option("CONFIG", options->config, "Configuration file (TOML); optional with --resume");
  auto* output = command
                     ->add_option("--output", options->output,
                                  "Run folder; must not exist without --resume. Required, but for --plan")
                     ->type_name("RUN");
  command->add_option("--set", options->overrides, "Override a field, e.g. --set train.lr=3e-4")
      ->type_name("SECTION.KEY=VALUE")
      ->allow_extra_args(false);
  auto* resume =
      command->add_flag("--resume", options->resume, "Go on from the newest checkpoint of the run folder");
  command
      ->add_option(
          "--verify-resume", options->verify_steps,
          "Instead of training, train 2 K steps twice, once stopped in between, and compare everything; RUN "
          "is deleted again")
      ->check(whole_number(1, 1 << 20))
      ->type_name("K")
      ->excludes(resume);
  auto* plan =
      command
          ->add_flag("--plan", options->plan,
                     "Instead of training, tell what it would take of memory and time, and what fits")
          ->excludes(resume);
  command->add_flag("--json", options->json, "Of --plan: print one JSON object")->needs(plan);
  command->footer(footer);
  command->callback([options, output] {
    if (!options->plan && output->empty()) throw CLI::RequiredError(output->get_name());
    run(*options);
  });
}

}  // namespace ecp::cli
