#include "ecp/train/checkpointing.h"

#include "ecp/base/error.h"
#include "ecp/config/config_file.h"
#include "ecp/weights/checkpoint.h"

namespace ecp {
namespace {

constexpr std::size_t largest_state = 16 << 20;

}  // namespace

void save_checkpoint(const Path& folder, const Backbone& model, const AdamW& optimizer,
                     const SaveBeside& save_beside, const TrainingState& state) {
  FolderWriter writer(folder);
  write_file(writer.path() / "config.json", to_json(model.config()));
  write_safetensors(writer.path() / "model.safetensors", model.weights());
  write_safetensors(writer.path() / "optimizer.safetensors", optimizer.state());
  if (save_beside) save_beside(writer.path());
  write_file(writer.path() / "state.json", to_json(state));
  write_manifest(writer.path());
  if (std::filesystem::exists(folder)) {
    writer.try_replace();
  } else {
    writer.commit();
  }
}

TrainingState load_checkpoint(const Path& folder, Backbone& model, AdamW& optimizer) {
  const Checkpoint checkpoint(folder);
  for (const char* needed : {"optimizer.safetensors", "state.json"}) {
    require(checkpoint.has(needed), "checkpoint '{}': {} is missing, it can't be resumed from",
            folder.string(), needed);
  }
  const Path path = checkpoint.folder() / "state.json";
  TrainingState state = parse_training_state(read_small_file(path, largest_state), path.string());
  model.load(checkpoint.weights());
  optimizer.load(SafetensorsFile(checkpoint.folder() / "optimizer.safetensors"), state.step - state.skipped);
  return state;
}

}  // namespace ecp
