#include "ecp/train/checkpoint_keeper.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/base/interrupt.h"

namespace ecp {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Bytes of a checkpoint, about: float32 weights and two moments; tokenizer and JSON are small beside them.
std::uint64_t checkpoint_bytes(const Backbone& model) {
  std::uint64_t elements = 0;
  for (const at::Tensor& parameter : model.parameters())
    elements += static_cast<std::uint64_t>(parameter.numel());
  return 3 * sizeof(float) * elements + (std::uint64_t{1} << 20);
}

}  // namespace

CheckpointKeeper::CheckpointKeeper(RunFolder folder, Callbacks callbacks)
    : folder_(std::move(folder)), callbacks_(std::move(callbacks)) {}

std::optional<TrainingState> CheckpointKeeper::load_newest(Backbone& model, AdamW& optimizer) const {
  const std::vector<std::int64_t> steps = folder_.steps();
  std::vector<std::string> faults;  // of the newer ones
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    try {
      TrainingState state = load_checkpoint(folder_.checkpoint(*step), model, optimizer);
      require(state.step == *step, "checkpoint '{}': expected step {} in its state, got {}",
              folder_.checkpoint(*step).string(), *step, state.step);
      for (auto newer = steps.rbegin(); newer != step; ++newer) {
        const Path aside = folder_.set_aside(*newer);
        if (callbacks_.warned) {
          callbacks_.warned(fmt::format("{}; going on from step {} instead (it is '{}' now)",
                                        faults[static_cast<std::size_t>(newer - steps.rbegin())], *step,
                                        aside.filename().string()));
        }
      }
      return state;
    } catch (const Interrupted&) {
      throw;
    } catch (const Error& error) {
      faults.emplace_back(error.what());
    }
  }
  if (!faults.empty()) {
    fail("{}{}", faults.front(),
         steps.size() == 1
             ? "; it is the only checkpoint of this run"
             : fmt::format("; none of the other {} checkpoints is whole either", steps.size() - 1));
  }
  return std::nullopt;
}

bool CheckpointKeeper::save(const std::function<void()>& before, const Backbone& model,
                            const AdamW& optimizer, const SaveBeside& save_beside, const TrainingState& state,
                            std::int64_t keep) const {
  const Clock::time_point begin = Clock::now();
  bool written = false;
  for (;;) {
    SpaceWanted wanted;
    std::string reason;
    try {
      before();
      if (!written) save_checkpoint(folder_.checkpoint(state.step), model, optimizer, save_beside, state);
      written = true;
      link(state);
      folder_.retain(keep, state.best ? std::optional(state.best->step) : std::nullopt);
      return true;
    } catch (const NoSpace& error) {
      reason = error.what();
    }
    wanted.step = state.step;
    wanted.reason = reason;
    wanted.needed = checkpoint_bytes(model);
    // Until there seems to be room; now and then in any case, for quotas don't show.
    const Clock::time_point failed = Clock::now();
    do {
      wanted.available = free_space(folder_.path());
      wanted.seconds = seconds_since(begin);
      if (callbacks_.waiting) callbacks_.waiting(wanted);
      for (int tenth = 0; tenth < 10; ++tenth) {
        if (callbacks_.stop && callbacks_.stop()) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
      }
    } while (free_space(folder_.path()) < wanted.needed && seconds_since(failed) < 30);
  }
}

void CheckpointKeeper::link(const TrainingState& state) const {
  folder_.link("last", state.step);
  if (state.best && std::filesystem::exists(folder_.checkpoint(state.best->step))) {
    folder_.link("best", state.best->step);
  }
}

std::string CheckpointKeeper::describe_newest() const {
  const std::vector<std::int64_t> steps = folder_.steps();
  return steps.empty() ? "no checkpoint was written yet"
                       : fmt::format("the last checkpoint is that of step {}", steps.back());
}

}  // namespace ecp
