// What a run trains, apart from how (train/trainer.h).
//
// A task owns the model and the data. It gives the trainer micro-batches as losses to go backward from, and
// measurements; the trainer keeps steps, accumulation, skipped steps, checkpoints, resuming and metrics.
// Nothing here depends on how often it was asked before, but for the position in the data, which checkpoints
// keep: batches are functions of seed and position, dropout of seed, step and sample.
//
// A new task is one file of this room with its line in `make_task`. A batch may train any part of its rows:
// `Batch::trained` says how many targets its loss sums over (LanguageModel::masked_loss_sum ignores targets
// below 0), and the sum of a step's losses is divided by all of them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ecp/base/files.h"
#include "ecp/base/progress.h"
#include "ecp/config/train_config.h"
#include "ecp/model/backbone.h"
#include "ecp/train/training_state.h"

namespace ecp {

/// One measurement of the model, on data that it isn't trained on.
struct Measurement {
  struct Column {
    std::string name, value;
  };
  nlohmann::ordered_json figures;  // the fields of an `eval` line besides kind, step and seconds
  double score = 0;                // the measurement with the lowest is the best
  std::vector<Column> columns;     // for a table on the screen
};

struct SampleReport {
  std::int64_t step = 0;
  std::string prompt;
  std::string text;  // what the model wrote after it
};

class Task {
 public:
  /// Where a sample is from: a training file and a place in it.
  struct Place {
    std::int64_t file = 0;
    std::uint64_t at = 0;
  };
  /// One micro-batch after its forward pass.
  struct Batch {
    at::Tensor loss_sum;       // float32 scalar, with its graph
    std::int64_t trained = 0;  // targets that it is a sum over, at least 1
    std::vector<Place> places;
  };
  /// What people count the data in.
  struct Unit {
    const char* name = "tokens";
    std::int64_t tokens = 1;  // rows of the model in one of them
  };

  virtual ~Task() = default;
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;

  /// As it was given, with what its data and this machine decide (`resolved`).
  [[nodiscard]] const Config& config() const { return config_; }
  /// Whether batches are trained with activation checkpointing (train/memory.h).
  [[nodiscard]] bool recomputes() const { return recompute_; }
  [[nodiscard]] virtual Backbone& model() = 0;
  [[nodiscard]] const Backbone& model() const { return const_cast<Task*>(this)->model(); }

  /// The next `train.batch` samples as optimizer step `step` sees them.
  virtual Batch next(std::int64_t step) = 0;
  /// Without data to measure on, nothing. What `progress` throws comes through.
  virtual std::optional<Measurement> measure(const ProgressFunction& progress) = 0;
  /// A best score in words: "lowest validation loss 1.2345".
  [[nodiscard]] virtual std::string describe_score(double score) const = 0;

  [[nodiscard]] virtual bool writes_samples() const { return false; }
  /// Something for people to look at, drawn with the run's seed. Nothing if `stop` says so before the end.
  virtual std::optional<SampleReport> sample(const std::function<bool()>& stop);

  /// "'one.npy' from tokens 320, 128": at most 16 places, for messages.
  [[nodiscard]] virtual std::string describe(const std::vector<Place>& places) const = 0;
  [[nodiscard]] virtual Unit unit() const { return {}; }
  /// Targets that a sample's loss sums over; 0: it varies.
  [[nodiscard]] virtual std::int64_t trained_per_sample() const = 0;
  /// 0: the data doesn't repeat.
  [[nodiscard]] virtual std::uint64_t tokens_per_epoch() const = 0;
  /// What was trained and measured on, for run.json: `train`, `validation`.
  [[nodiscard]] virtual nlohmann::ordered_json data_facts() const = 0;

  [[nodiscard]] virtual std::vector<TrainingState::Source> position() const = 0;
  /// Fails if the data isn't that which the position was taken from.
  virtual void restore(const std::vector<TrainingState::Source>& sources) = 0;

  /// Writes into a checkpoint's folder what the model needs besides weights to be used.
  virtual void save_beside(const Path& folder) const;
  /// Hash of the tokenizer whose tokens the model reads; "" if there is none.
  [[nodiscard]] virtual std::string tokenizer_hash() const { return ""; }

 protected:
  /// Fails if training can't fit into the machine's memory.
  explicit Task(Config config);
  /// "'a' WHAT 3, 5; 'b' WHAT 7 and 20 more" for `describe`; `name` gives a file's.
  [[nodiscard]] static std::string list_places(const std::vector<Place>& places, const std::string& what,
                                               const std::function<std::string(std::int64_t file)>& name);
  /// For a forward pass of training.
  [[nodiscard]] ForwardContext training_context(std::int64_t step, std::vector<std::int64_t> samples) const;
  [[nodiscard]] bool bfloat16() const { return config_.train.dtype == "bfloat16"; }

 private:
  Config config_;
  bool recompute_;
};

/// `config` with what its data (of which little is read) and this machine decide: the vocabulary, and
/// train.dtype "auto".
Config resolved(Config config);

/// The task that `config` names. Opens and verifies its data; fails if data and model don't fit together.
/// `threads`: of what runs beside LibTorch.
std::unique_ptr<Task> make_task(const Config& config, int threads, const ProgressFunction& progress = {});

}  // namespace ecp
