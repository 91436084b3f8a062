// The checkpoints of one run: saved though the disk is full for a while, found again though some are damaged.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "ecp/model/backbone.h"
#include "ecp/train/checkpointing.h"
#include "ecp/train/optimizer.h"
#include "ecp/train/run_folder.h"
#include "ecp/train/training_state.h"

namespace ecp {

/// A checkpoint that waits for space.
struct SpaceWanted {
  std::int64_t step = 0;
  std::string_view reason;      // what failed
  std::uint64_t needed = 0;     // bytes, about
  std::uint64_t available = 0;  // bytes
  double seconds = 0;           // waited so far
};

class CheckpointKeeper {
 public:
  struct Callbacks {
    std::function<void(std::string_view)> warned;
    std::function<void(const SpaceWanted&)> waiting;  // about once a second
    std::function<bool()> stop;                       // asked while waiting
  };

  CheckpointKeeper(RunFolder folder, Callbacks callbacks);

  /// Loads the newest checkpoint that is whole, warning about newer ones, which are set aside; nothing if
  /// there are none at all. Fails, changing nothing, if there are some and none is whole.
  std::optional<TrainingState> load_newest(Backbone& model, AdamW& optimizer) const;

  /// Calls `before` (which makes durable what the checkpoint builds on), writes the checkpoint, links to it
  /// and deletes old ones but the `keep` newest and the best. Where there is no space, all of it is tried
  /// again when there is; false if asked to stop in the meantime: then the last checkpoint is the one before.
  bool save(const std::function<void()>& before, const Backbone& model, const AdamW& optimizer,
            const SaveBeside& save_beside, const TrainingState& state, std::int64_t keep) const;

  /// Points `last` and, where that checkpoint is there, `best` at their checkpoints.
  void link(const TrainingState& state) const;
  /// "the last checkpoint is that of step 20" or "no checkpoint was written yet".
  [[nodiscard]] std::string describe_newest() const;

 private:
  RunFolder folder_;
  Callbacks callbacks_;
};

}  // namespace ecp
