#include "ecp/train/trainer.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>

#include "ecp/base/error.h"
#include "ecp/base/system.h"
#include "ecp/config/config_file.h"
#include "ecp/model/language_model.h"
#include "ecp/runtime/model.h"
#include "ecp/train/batches.h"
#include "ecp/train/checkpointing.h"
#include "ecp/train/initial_weights.h"
#include "ecp/train/memory.h"
#include "ecp/train/metrics_log.h"
#include "ecp/train/optimizer.h"
#include "ecp/train/run_facts.h"
#include "ecp/train/run_folder.h"
#include "ecp/train/same_run.h"
#include "ecp/train/schedule.h"

namespace ecp {
namespace {

constexpr std::size_t prompt_tokens = 32;  // of the validation data, where no prompt is given

int set_threads(const TrainConfig& config) {
  const int threads = config.threads > 0 ? static_cast<int>(config.threads) : available_cpus();
  at::set_num_threads(threads);
  return threads;
}

/// The configuration with the vocabulary of the data, if the machine can bear it.
Config with_vocab(Config config, const TrainingData& data) {
  config.model.vocab = data.vocab_size();
  require_memory(config);
  return config;
}

std::vector<AdamW::Entry> optimizer_entries(const LanguageModel& model) {
  const auto parameters = model.named_parameters();
  std::vector<AdamW::Entry> entries;
  for (const Parameter& parameter : model.table()) {
    entries.push_back({parameter.name, parameters[parameter.name], parameter.decay});
  }
  return entries;
}

/// Due every `every` steps; 0: never but at the end.
bool is_due(std::int64_t step, std::int64_t every) { return every > 0 && step % every == 0; }

class Trainer {
 public:
  Trainer(const Config& config, RunFolder folder, const TrainObserver& observer)
      : observer_(observer),
        folder_(std::move(folder)),
        metrics_(folder_.metrics()),
        threads_(set_threads(config.train)),
        data_(config),
        config_(with_vocab(config, data_)),
        facts_(run_facts(config_, data_, threads_)),
        model_(config_.model),
        optimizer_(config_.train, optimizer_entries(model_)) {
    for (const auto& parameter : model_.parameters()) parameters_.push_back(parameter);
    state_.build = Build::current(threads_);
  }

  void start() {
    model_.initialize(static_cast<std::uint64_t>(config_.train.seed));
    if (config_.train.init.empty()) return;
    for (const std::string& warning :
         load_initial_weights(model_, config_.train.init, data_.tokenizer()->hash())) {
      warn(warning);
    }
  }

  void go_on() {
    const std::vector<std::int64_t> steps = folder_.steps();
    facts_.resumed_from = steps.empty() ? 0 : steps.back();
    if (steps.empty()) {
      start();
    } else {
      const Build now = state_.build;
      state_ = load_checkpoint(folder_.checkpoint(steps.back()), model_, optimizer_);
      require(state_.step == steps.back(), "checkpoint '{}': expected step {} in its state, got {}",
              folder_.checkpoint(steps.back()).string(), steps.back(), state_.step);
      data_.restore(state_.sources);
      for (const std::string& difference : state_.build.differences(now)) {
        warn("resumed by another build, results may differ in the last bits: " + difference);
      }
      state_.build = now;
      link();
    }
    metrics_.rewind(state_.step);
  }

  TrainOutcome run() {
    folder_.create();
    write_file(folder_.config(), to_toml(config_));
    write_run_facts(folder_.facts(), facts_, data_, state_.build);
    if (observer_.started) observer_.started(facts_);
    bool stopped = false;
    while (!finished() && !stopped) {
      const StepReport report = step();
      if (observer_.stepped) observer_.stepped(report);
      const bool last = finished();
      if (last || is_due(state_.step, config_.train.log_every)) log(report);
      const bool best = (last || is_due(state_.step, config_.train.eval_every)) && evaluate_now();
      stopped = !last && observer_.stop && observer_.stop();
      if (best || last || stopped || is_due(state_.step, config_.train.checkpoint_every)) save();
      if (last || is_due(state_.step, config_.train.sample_every)) sample();
    }
    TrainOutcome outcome{!stopped, state_.step, state_.tokens, state_.seconds, {}, 0};
    if (state_.best) {
      outcome.best_step = state_.best->step;
      outcome.best_loss = state_.best->loss;
    }
    return outcome;
  }

 private:
  [[nodiscard]] bool by_clock() const { return config_.train.minutes > 0; }

  [[nodiscard]] bool finished() const {
    return by_clock() ? state_.seconds >= config_.train.minutes * 60 : state_.step >= config_.train.steps;
  }

  /// Where the run stands before the next step. By the clock, the end of warm-up is noted when it is reached.
  RunPosition position() {
    if (!by_clock()) return position_by_steps(config_.train, state_.step);
    const double done = std::min(1.0, state_.seconds / (config_.train.minutes * 60));
    if (state_.step <= config_.train.warmup) state_.warmup_done = done;
    return {state_.step, done, state_.warmup_done};
  }

  /// The summed loss of one group of micro-batches; leaves the sum's gradients.
  double accumulate() {
    double loss = 0;
    for (std::int64_t i = 0; i < config_.train.accumulation; ++i) {
      const Batch batch = data_.next(config_.train.batch);
      ForwardContext context;
      context.training = true;
      context.bfloat16 = config_.train.dtype == "bfloat16";
      context.seed = static_cast<std::uint64_t>(config_.train.seed);
      context.step = state_.step;
      context.samples = batch.samples;
      context.document_start = batch.document_start_BN;
      const at::Tensor sum = model_.loss_sum(batch.tokens_BN1, context);
      loss += sum.item<double>();
      sum.backward();
    }
    return loss;
  }

  StepReport step() {
    const auto begin = std::chrono::steady_clock::now();
    const RunPosition where = position();
    const auto tokens = static_cast<double>(facts_.tokens_per_step);
    StepReport report;
    report.lr = learning_rate(config_.train, where);
    report.loss = accumulate() / tokens;
    report.grad_norm = gradient_norm(parameters_) / tokens;
    require_finite(report);
    optimizer_.step(report.lr, clip_factor(report.grad_norm, config_.train.clip) / tokens);
    optimizer_.clear_gradients();

    ++state_.step;
    state_.tokens += static_cast<std::uint64_t>(facts_.tokens_per_step);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    state_.seconds += seconds;
    state_.since_line.loss += report.loss;
    state_.since_line.seconds += seconds;
    ++state_.since_line.steps;
    step_seconds_ = step_seconds_ == 0 ? seconds : 0.9 * step_seconds_ + 0.1 * seconds;

    report.step = state_.step;
    report.tokens = state_.tokens;
    report.tokens_per_second = tokens / step_seconds_;
    report.seconds = state_.seconds;
    report.seconds_left = by_clock() ? std::max(0.0, config_.train.minutes * 60 - state_.seconds)
                                     : static_cast<double>(config_.train.steps - state_.step) * step_seconds_;
    report.peak_memory = peak_memory();
    return report;
  }

  void require_finite(const StepReport& report) const {
    if (std::isfinite(report.loss) && std::isfinite(report.grad_norm)) return;
    const std::vector<std::int64_t> steps = folder_.steps();
    const std::string saved = steps.empty()
                                  ? "no checkpoint was written yet"
                                  : fmt::format("the checkpoint of step {} is intact", steps.back());
    fail(
        "training stopped at step {}: loss {}, gradient norm {} at learning rate {:.3g}; {}; try a lower "
        "train.lr, a "
        "longer train.warmup or train.clip",
        state_.step + 1, report.loss, report.grad_norm, report.lr, saved);
  }

  void log(const StepReport& report) {
    TrainingState::SinceLine& since = state_.since_line;
    const auto steps = static_cast<double>(since.steps);
    metrics_.add({{"kind", "train"},
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

  /// True if this is the best validation loss so far.
  bool evaluate_now() {
    if (data_.validation() == nullptr) return false;
    EvaluationOptions options;
    options.context = config_.eval.context;
    options.batch = config_.eval.batch;
    options.tokens = static_cast<std::uint64_t>(config_.eval.tokens);
    options.bfloat16 = config_.train.dtype == "bfloat16";
    const Evaluation result = evaluate(model_, *data_.validation(), options, observer_.evaluating);
    nlohmann::ordered_json line = {{"kind", "eval"}, {"step", state_.step}, {"seconds", state_.seconds}};
    line.update(to_json(result));
    metrics_.add(line);
    const bool best = !state_.best || result.loss < state_.best->loss;
    if (best) state_.best = {state_.step, result.loss};
    if (observer_.evaluated) observer_.evaluated(state_.step, result, best);
    return best;
  }

  void save() {
    state_.sources = data_.position();
    const Path path = folder_.checkpoint(state_.step);
    save_checkpoint(path, model_, optimizer_, *data_.tokenizer(), state_);
    link();
    folder_.retain(config_.train.keep, state_.best ? std::optional(state_.best->step) : std::nullopt);
    if (observer_.saved) observer_.saved(state_.step, path);
  }

  void link() const {
    folder_.link("last", state_.step);
    if (state_.best && std::filesystem::exists(folder_.checkpoint(state_.best->step))) {
      folder_.link("best", state_.best->step);
    }
  }

  void sample() {
    if (config_.train.sample_tokens == 0) return;
    Sampling sampling;
    sampling.seed = static_cast<std::uint64_t>(config_.train.seed);
    sampling.max_tokens = config_.train.sample_tokens;
    sampling.ignore_end_of_text = true;
    Session session =
        Model::create(config_.model, model_.weights(), data_.tokenizer(), threads_)->session(sampling);
    SampleReport report;
    report.step = state_.step;
    if (config_.train.sample_prompt.empty()) {
      const TokenFile& file = data_.validation() != nullptr ? *data_.validation() : *data_.files().front();
      std::vector<Token> tokens;
      for (std::uint64_t i = 0; i < std::min<std::uint64_t>(prompt_tokens, file.size()); ++i)
        tokens.push_back(file[i]);
      report.prompt = data_.tokenizer()->decode(tokens);
      session.prompt(tokens);
    } else {
      report.prompt = config_.train.sample_prompt;
      session.prompt(report.prompt);
    }
    while (const auto piece = session.next()) report.text += *piece;
    metrics_.add(
        {{"kind", "sample"}, {"step", report.step}, {"prompt", report.prompt}, {"text", report.text}});
    if (observer_.sampled) observer_.sampled(report);
  }

  void warn(const std::string& text) const {
    if (observer_.warned) observer_.warned(text);
  }

  const TrainObserver& observer_;
  RunFolder folder_;
  MetricsLog metrics_;
  int threads_;
  TrainingData data_;
  Config config_;
  RunFacts facts_;
  LanguageModel model_;
  AdamW optimizer_;
  std::vector<at::Tensor> parameters_;
  TrainingState state_;
  double step_seconds_ = 0;  // moving average
};

}  // namespace

TrainOutcome train(const Config& config, const Path& run, const TrainObserver& observer) {
  const RunFolder folder(run);
  folder.require_new();
  config.validate();
  Trainer trainer(config, folder, observer);
  trainer.start();
  return trainer.run();
}

TrainOutcome resume(const Path& run, const std::optional<Config>& asked, const TrainObserver& observer) {
  const RunFolder folder(run);
  folder.require_started();
  Config config = read_config(folder.config());
  if (asked) config = continued(config, *asked);
  config.validate();
  Trainer trainer(config, folder, observer);
  trainer.go_on();
  return trainer.run();
}

}  // namespace ecp
