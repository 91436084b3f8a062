#include "ecp/train/trainer.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>

#include "ecp/base/error.h"
#include "ecp/base/interrupt.h"
#include "ecp/base/system.h"
#include "ecp/config/config_file.h"
#include "ecp/train/initial_weights.h"
#include "ecp/train/metrics_log.h"
#include "ecp/train/optimizer.h"
#include "ecp/train/run_facts.h"
#include "ecp/train/run_folder.h"
#include "ecp/train/same_run.h"
#include "ecp/train/schedule.h"

namespace ecp {
namespace {

int set_threads(const TrainConfig& config) {
  const int threads = config.threads > 0 ? static_cast<int>(config.threads) : available_cpus();
  at::set_num_threads(threads);
  return threads;
}

/// Due every `every` steps; 0: never but at the end.
bool is_due(std::int64_t step, std::int64_t every) { return every > 0 && step % every == 0; }

/// Of a number that isn't finite; NaN has no sign that tells anything.
std::string name_of(double number) { return std::isnan(number) ? "nan" : fmt::format("{}", number); }

/// Ends an evaluation from within.
struct Stopped {};

/// One group of micro-batches: their summed loss, and the places to name if numbers aren't finite (of the
/// first micro-batch whose loss isn't, or else of all).
struct Group {
  double loss = 0;
  std::int64_t trained = 0;
  std::vector<Task::Place> places;
};

class Trainer {
 public:
  Trainer(const Config& config, RunFolder folder, const TrainObserver& observer)
      : observer_(observer),
        folder_(std::move(folder)),
        metrics_(folder_.metrics()),
        keeper_(folder_, {observer.warned, observer.waiting, observer.stop}),
        threads_(set_threads(config.train)),
        task_(make_task(config, threads_, observer.evaluating)),
        config_(task_->config()),
        facts_(run_facts(*task_, threads_)),
        model_(task_->model()),
        optimizer_(config_.train, optimizer_entries(model_)) {
    for (const auto& parameter : model_.parameters()) parameters_.push_back(parameter);
    state_.build = Build::current(threads_);
  }

  void start() {
    model_.initialize(static_cast<std::uint64_t>(config_.train.seed));
    if (config_.train.init.empty()) return;
    for (const std::string& warning :
         load_initial_weights(model_, config_.train.init, task_->tokenizer_hash())) {
      warn(warning);
    }
  }

  void go_on() {
    const Build now = state_.build;
    if (auto state = keeper_.load_newest(model_, optimizer_)) {
      state_ = std::move(*state);
      task_->restore(state_.sources);
      for (const std::string& difference : state_.build.differences(now)) {
        warn("resumed by another build, results may differ in the last bits: " + difference);
      }
      state_.build = now;
      keeper_.link(state_);
    } else {
      start();
    }
    facts_.resumed_from = state_.step;
    const auto damage = metrics_.rewind(state_.step, [this](std::string_view kind) {
      return (kind == "eval" && state_.pending.evaluation) || (kind == "sample" && state_.pending.sample);
    });
    if (damage) warn(*damage);
  }

  /// The folder exists and is locked.
  TrainOutcome run() {
    write_file(folder_.config(), to_toml(config_));
    write_run_facts(folder_.facts(), facts_, *task_, state_.build);
    if (config_.train.tensorboard)
      metrics_.write_events(facts_.resumed_from ? std::optional(*facts_.resumed_from + 1) : std::nullopt);
    if (observer_.started) observer_.started(facts_);
    if (!by_clock() && config_.train.warmup >= config_.train.steps && !finished()) {
      warn(fmt::format("train.warmup: {} steps, the run has {}: the learning rate never gets to train.lr",
                       config_.train.warmup, config_.train.steps));
    }
    // What a stop left undone of the last step comes first.
    bool go_on = true;
    if (is_pending()) go_on = finish_step(true);
    while (go_on && !finished()) {
      const StepReport report = step();
      if (observer_.stepped) observer_.stepped(report);
      if (by_clock()) warn_of_slow_warmup();
      const bool last = finished();
      if (last || is_due(state_.step, config_.train.log_every)) log(report);
      state_.pending.evaluation = last || is_due(state_.step, config_.train.eval_every);
      state_.pending.sample = last || is_due(state_.step, config_.train.sample_every);
      go_on = finish_step(last || is_due(state_.step, config_.train.checkpoint_every));
    }
    TrainOutcome outcome;
    outcome.finished = finished() && !is_pending();
    outcome.saved = saved_;
    outcome.step = state_.step;
    outcome.tokens = state_.tokens;
    outcome.seconds = state_.seconds;
    outcome.skipped = state_.skipped;
    if (state_.best) {
      outcome.best_step = state_.best->step;
      outcome.best_score = state_.best->score;
      outcome.best = task_->describe_score(state_.best->score);
    }
    return outcome;
  }

 private:
  [[nodiscard]] bool by_clock() const { return config_.train.minutes > 0; }

  [[nodiscard]] bool finished() const {
    return by_clock() ? state_.seconds >= config_.train.minutes * 60 : state_.step >= config_.train.steps;
  }

  /// A run by the clock on a machine slower, or busier, than it was written for.
  void warn_of_slow_warmup() {
    constexpr std::int64_t known_after = 5;  // steps
    const TrainConfig& train = config_.train;
    if (state_.step != known_after || train.warmup <= known_after) return;
    const double share =
        state_.seconds / known_after * static_cast<double>(train.warmup) / (train.minutes * 60);
    if (share < 0.5) return;
    warn(
        fmt::format("train.warmup: its {} steps will take {:.0f} % of train.minutes at this speed; if other "
                    "programs keep the processors busy, ecp doctor tells",
                    train.warmup, 100 * std::min(1.0, share)));
  }

  /// Where the run stands before the next step. By the clock, the end of warm-up is noted when it is reached.
  RunPosition position() {
    if (!by_clock()) return position_by_steps(config_.train, state_.step);
    const double done = std::min(1.0, state_.seconds / (config_.train.minutes * 60));
    if (state_.step <= config_.train.warmup) state_.warmup_done = done;
    return {state_.step, done, state_.warmup_done};
  }

  [[nodiscard]] bool asked_to_stop() const { return observer_.stop && observer_.stop(); }
  [[nodiscard]] bool is_pending() const { return state_.pending.evaluation || state_.pending.sample; }

  /// What is due after a step's update, and a checkpoint if it is due, the best so far or the last for now.
  /// False if the run is to end here.
  bool finish_step(bool checkpoint_due) {
    if (state_.skipped_in_row > 0 && !weights_are_finite()) {  // nothing to measure or to keep
      require(!finished(), "training ended with weights that aren't finite; {}", keeper_.describe_newest());
      state_.pending = {};
      saved_ = !asked_to_stop();
      return saved_;
    }
    bool best = false;
    if (state_.pending.evaluation && !asked_to_stop()) best = evaluate_now();
    if (state_.pending.sample && !state_.pending.evaluation && !asked_to_stop()) sample();
    const bool stop = asked_to_stop() && (is_pending() || !finished());
    if (best || stop || checkpoint_due) saved_ = save();
    return saved_ && !stop;
  }

  /// One group of micro-batches; leaves the gradients of the summed loss.
  Group accumulate() {
    Group group;
    bool found = false;  // a loss that isn't finite
    for (std::int64_t i = 0; i < config_.train.accumulation; ++i) {
      const Task::Batch batch = task_->next(state_.step);
      const auto loss = batch.loss_sum.item<double>();
      if (!found && !std::isfinite(loss)) {
        found = true;
        group.places.clear();
      }
      if (!found || !std::isfinite(loss))
        group.places.insert(group.places.end(), batch.places.begin(), batch.places.end());
      group.loss += loss;
      group.trained += batch.trained;
      batch.loss_sum.backward();
    }
    return group;
  }

  StepReport step() {
    const auto begin = std::chrono::steady_clock::now();
    const RunPosition where = position();
    StepReport report;
    report.lr = learning_rate(config_.train, where);
    const Group group = accumulate();
    const auto trained = static_cast<double>(group.trained);
    report.loss = group.loss / trained;
    report.grad_norm = gradient_norm(parameters_) / trained;
    const bool finite = std::isfinite(report.loss) && std::isfinite(report.grad_norm);
    if (finite) optimizer_.step(report.lr, clip_factor(report.grad_norm, config_.train.clip) / trained);
    optimizer_.clear_gradients();

    ++state_.step;
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    state_.seconds += seconds;
    if (finite) {
      state_.skipped_in_row = 0;
      state_.tokens += static_cast<std::uint64_t>(facts_.tokens_per_step);
      state_.since_line.loss += report.loss;
      state_.since_line.seconds += seconds;
      ++state_.since_line.steps;
    } else {
      skip(report, group.places);
    }
    step_seconds_ = step_seconds_ == 0 ? seconds : 0.9 * step_seconds_ + 0.1 * seconds;

    report.step = state_.step;
    report.tokens = state_.tokens;
    report.tokens_per_second = static_cast<double>(facts_.tokens_per_step) / step_seconds_;
    report.seconds = state_.seconds;
    report.seconds_left = by_clock() ? std::max(0.0, config_.train.minutes * 60 - state_.seconds)
                                     : static_cast<double>(config_.train.steps - state_.step) * step_seconds_;
    report.peak_memory = peak_memory();
    return report;
  }

  /// Counts a step without an update; fails when there were too many in a row.
  void skip(const StepReport& report, const std::vector<Task::Place>& places) {
    ++state_.skipped;
    ++state_.skipped_in_row;
    SkipReport skipped{state_.step, state_.skipped_in_row, {}, task_->describe(places)};
    skipped.reason = std::isfinite(report.loss)
                         ? fmt::format("gradient norm is {}", name_of(report.grad_norm))
                         : fmt::format("loss is {}", name_of(report.loss));
    add_metrics({{"kind", "skip"},
                 {"step", state_.step},
                 {"in_row", skipped.in_row},
                 {"reason", skipped.reason},
                 {"lr", report.lr},
                 {"where", skipped.where}});
    if (observer_.skipped) observer_.skipped(skipped);
    if (state_.skipped_in_row <= config_.train.most_skipped) return;
    fail(
        "training stopped at step {}: {} at learning rate {:.3g}, {} steps in a row; the batch: {}; {}; a "
        "new run can have {}a lower train.lr, a longer train.warmup or another train.clip",
        state_.step, skipped.reason, report.lr, state_.skipped_in_row, skipped.where,
        keeper_.describe_newest(), folder_.steps().empty() ? "" : "its weights (train.init) and ");
  }

  void add_metrics(const nlohmann::ordered_json& line) {
    const bool written = metrics_.add(line);
    if (!written && !metrics_wait_) {
      warn(fmt::format("no space to write '{}'; its lines wait in memory", folder_.metrics().string()));
    }
    metrics_wait_ = !written;
  }

  void log(const StepReport& report) {
    TrainingState::SinceLine& since = state_.since_line;
    if (since.steps == 0) return;  // all were skipped
    const auto steps = static_cast<double>(since.steps);
    add_metrics({{"kind", "train"},
                 {"step", report.step},
                 {"loss", since.loss / steps},
                 {"lr", report.lr},
                 {"grad_norm", report.grad_norm},
                 {"tokens", report.tokens},
                 {"tokens_per_second", steps * static_cast<double>(facts_.tokens_per_step) / since.seconds},
                 {"seconds", report.seconds},
                 {"peak_memory", report.peak_memory}});
    since = {};
  }

  /// True if this is the best measurement so far. A request to stop leaves it pending.
  bool evaluate_now() {
    std::optional<Measurement> result;
    try {
      result = task_->measure([this](const Progress& progress) {
        if (observer_.evaluating) observer_.evaluating(progress);
        if (asked_to_stop()) throw Stopped();
      });
    } catch (const Stopped&) {
      return false;
    } catch (const Interrupted&) {  // where it counts words
      return false;
    }
    state_.pending.evaluation = false;
    if (!result) return false;
    nlohmann::ordered_json line = {{"kind", "eval"}, {"step", state_.step}, {"seconds", state_.seconds}};
    line.update(result->figures);
    add_metrics(line);
    const bool best = !state_.best || result->score < state_.best->score;
    if (best) state_.best = {state_.step, result->score};
    if (observer_.evaluated) observer_.evaluated(state_.step, *result, best);
    return best;
  }

  /// False if asked to stop before there was room for it.
  bool save() {
    state_.sources = task_->position();
    const bool saved =
        keeper_.save([this] { metrics_.flush(); }, model_, optimizer_,
                     [this](const Path& folder) { task_->save_beside(folder); }, state_, config_.train.keep);
    if (saved && observer_.saved) observer_.saved(state_.step, folder_.checkpoint(state_.step));
    return saved;
  }

  [[nodiscard]] bool weights_are_finite() const {
    return std::all_of(parameters_.begin(), parameters_.end(), [](const at::Tensor& parameter) {
      return at::isfinite(parameter.detach()).all().item<bool>();
    });
  }

  void sample() {
    if (!task_->writes_samples()) {
      state_.pending.sample = false;
      return;
    }
    auto report = task_->sample([this] { return asked_to_stop(); });
    if (!report) return;
    report->step = state_.step;
    add_metrics(
        {{"kind", "sample"}, {"step", report->step}, {"prompt", report->prompt}, {"text", report->text}});
    state_.pending.sample = false;
    if (observer_.sampled) observer_.sampled(*report);
  }

  void warn(const std::string& text) const {
    if (observer_.warned) observer_.warned(text);
  }

  const TrainObserver& observer_;
  RunFolder folder_;
  MetricsLog metrics_;
  bool metrics_wait_ = false;  // for room on the disk
  CheckpointKeeper keeper_;
  int threads_;
  std::unique_ptr<Task> task_;
  const Config& config_;
  RunFacts facts_;
  Backbone& model_;
  AdamW optimizer_;
  std::vector<at::Tensor> parameters_;
  TrainingState state_;
  bool saved_ = true;
  double step_seconds_ = 0;  // moving average
};

}  // namespace

TrainOutcome train(const Config& config, const Path& run, const TrainObserver& observer) {
  const RunFolder folder(run);
  folder.require_new();
  config.validate();
  Trainer trainer(config, folder, observer);
  trainer.start();
  folder.create();
  const FileLock lock = folder.lock();
  folder.clean();
  return trainer.run();
}

TrainOutcome resume(const Path& run, const std::optional<Config>& asked, const TrainObserver& observer) {
  const RunFolder folder(run);
  folder.require_started();
  const FileLock lock = folder.lock();
  folder.create();
  folder.clean();
  Config config = read_config(folder.config());
  if (asked) config = continued(config, *asked);
  config.validate();
  Trainer trainer(config, folder, observer);
  trainer.go_on();
  return trainer.run();
}

}  // namespace ecp
