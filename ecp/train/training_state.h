// What a checkpoint holds besides weights and moments so that training goes on as if it had never stopped:
// state.json. Dropout and data order are counter-based, so a step and positions are all of their state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ecp/base/shuffle.h"

namespace ecp {

/// What "bit for bit" depends on besides the files.
struct Build {
  std::string version;
  std::string commit;
  std::string instruction_sets;
  std::int64_t threads = 0;

  /// Of this program and machine, with `threads` as set.
  static Build current(std::int64_t threads);
  /// One sentence for each difference: "the program was built from commit a, now b".
  [[nodiscard]] std::vector<std::string> differences(const Build& now) const;
};

struct TrainingState {
  /// One source of samples: where it stands, and which data that was.
  struct Source {
    std::string hash;
    EpochPosition position;
  };
  struct Best {
    std::int64_t step = 0;
    double score = 0;  // `loss` in the file; the lowest is the best (Task)
  };
  /// Sums since the last `train` line of metrics.jsonl.
  struct SinceLine {
    double loss = 0;
    std::int64_t steps = 0;
    double seconds = 0;
  };

  /// What a request to stop left undone of the step; done first when the run goes on.
  struct Pending {
    bool evaluation = false, sample = false;
  };

  std::int64_t step = 0;            // steps done
  std::int64_t skipped = 0;         // of them without an update, because something wasn't finite
  std::int64_t skipped_in_row = 0;  // the last so many
  Pending pending;
  std::uint64_t tokens = 0;  // trained so far
  double seconds = 0;        // of training so far, evaluation left out
  double warmup_done = 0;    // fraction of the clock at which warm-up ended (train.minutes)
  std::optional<Best> best;
  SinceLine since_line;
  std::vector<Source> sources;
  Build build;
};

std::string to_json(const TrainingState& state);
/// Strict; `name` stands for the file in messages.
TrainingState parse_training_state(std::string_view text, const std::string& name);

}  // namespace ecp
