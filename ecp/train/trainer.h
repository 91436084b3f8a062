// Training a task (train/task.h) from a configuration into a run folder (docs/formats.md).
//
// One optimizer step takes `accumulation` micro-batches of `batch` samples; the summed loss is divided by the
// trained targets of the whole group (of latent architectures a window's last rows) before clipping. Dropout
// is keyed by seed, step and the sample's global index, and samples are drawn by counter, so a checkpoint
// needs only numbers to go on bit for bit (same build, instruction sets and number of threads; differences
// are warned about). At a step where several things are due the order is: metrics line, evaluation, sample,
// checkpoint; so what a checkpoint builds on is in metrics.jsonl.
//
// A step whose loss or gradient norm is NaN or infinite is skipped: weights and moments stay, the data goes
// on, a `skip` line tells where in the data it was. More than train.most_skipped in a row end the run.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ecp/base/files.h"
#include "ecp/base/progress.h"
#include "ecp/config/train_config.h"
#include "ecp/train/checkpoint_keeper.h"
#include "ecp/train/task.h"

namespace ecp {

/// What a run is, told before the first step.
struct RunFacts {
  std::int64_t parameters = 0;
  std::int64_t parameters_without_embeddings = 0;
  std::int64_t tokens_per_step = 0;
  std::int64_t trained_per_step = 0;   // targets with a loss: fewer in latent architectures; 0: it varies
  std::uint64_t tokens_per_epoch = 0;  // 0: data that doesn't repeat
  Task::Unit unit;
  std::int64_t visible_entries = 0;       // attention entries per layer and head at n
  std::int64_t visible_entries_full = 0;  // the same of full attention
  std::string device;
  std::string dtype;
  int threads = 0;
  bool activation_checkpointing = false;
  std::optional<std::int64_t> resumed_from;  // step
};

/// After an optimizer step.
struct StepReport {
  std::int64_t step = 0;
  double loss = 0;  // nats per target of this step
  double lr = 0;
  double grad_norm = 0;  // before clipping
  std::uint64_t tokens = 0;
  double tokens_per_second = 0;
  double seconds = 0;       // of training so far, evaluation left out
  double seconds_left = 0;  // of training, estimated
  std::uint64_t peak_memory = 0;
};

/// A step that was skipped.
struct SkipReport {
  std::int64_t step = 0;
  std::int64_t in_row = 0;
  std::string reason;  // "loss is nan"
  std::string where;   // the samples: "'one.npy' from tokens 320, 128"
};

/// How a run reports itself; empty functions are silence.
struct TrainObserver {
  std::function<void(const RunFacts&)> started;
  std::function<void(const StepReport&)> stepped;
  std::function<void(const SkipReport&)> skipped;
  ProgressFunction evaluating;
  std::function<void(std::int64_t step, const Measurement&, bool best)> evaluated;
  std::function<void(std::int64_t step, const Path& checkpoint)> saved;
  std::function<void(const SpaceWanted&)> waiting;  // about once a second, for room on the disk
  std::function<void(const SampleReport&)> sampled;
  std::function<void(std::string_view)> warned;
  /// Asked after each step and within longer work; true ends the run early with a checkpoint to resume from.
  std::function<bool()> stop;
};

struct TrainOutcome {
  bool finished = false;  // false: stopped early
  bool saved = true;      // false: stopped, and `step` has no checkpoint: no space, or weights not finite
  std::int64_t step = 0;
  std::uint64_t tokens = 0;
  double seconds = 0;
  std::optional<std::int64_t> best_step;  // with the lowest score (Measurement)
  double best_score = 0;
  std::string best;          // the same in words: "lowest validation loss 1.2345"
  std::int64_t skipped = 0;  // steps
};

/// Starts a run. Fails if `run` exists (an empty folder may), before anything is written if configuration,
/// data and model don't fit together, and with a clear message if numbers don't become finite again.
TrainOutcome train(const Config& config, const Path& run, const TrainObserver& observer = {});
/// Goes on from the newest whole checkpoint of `run` (from the start, if there is none yet). `asked` may
/// change the stored configuration only as train/same_run.h says. Fails if another process trains in the
/// folder.
TrainOutcome resume(const Path& run, const std::optional<Config>& asked = {},
                    const TrainObserver& observer = {});

}  // namespace ecp
