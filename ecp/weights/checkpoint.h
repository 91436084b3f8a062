// A checkpoint is a folder:
//
//   config.json          the model (`to_json(ModelConfig)`)
//   model.safetensors    weights under the names of config/parameters.h, float32
//   tokenizer/           as `Tokenizer::save` wrote it; absent for models without text
//   optimizer.safetensors, state.json   only in checkpoints that can be resumed from
//   manifest.json        {"format": "ecp-checkpoint", "version": 1, "files": {"name": {"bytes", "xxh3"}}}
//
// It is written under a temporary name, each file synced, the manifest last, then renamed. Loading verifies
// the manifest: every listed file's size and hash, and that nothing needed is missing from the list.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ecp/base/files.h"
#include "ecp/config/model_config.h"
#include "ecp/weights/safetensors.h"

namespace ecp {

/// Writes manifest.json over all files under `folder` (call last, before committing the folder).
void write_manifest(const Path& folder);

/// Fails, naming the first difference, unless the file holds exactly the parameters of `config`, by name and
/// shape, in a floating-point dtype.
void check_weights(const SafetensorsFile& file, const ModelConfig& config);

/// A verified checkpoint. Construction fails with one line naming the file that is missing, short or changed.
class Checkpoint {
 public:
  /// `path` is a checkpoint folder, or a run folder: then its `checkpoints/best`, or else `checkpoints/last`.
  explicit Checkpoint(const Path& path);

  [[nodiscard]] const Path& folder() const { return folder_; }
  [[nodiscard]] const ModelConfig& model() const { return model_; }
  /// Weights, checked against the parameter table of `model()`: same names, same shapes.
  [[nodiscard]] SafetensorsFile weights() const;
  [[nodiscard]] bool has(
      const std::string& file) const;  // "optimizer.safetensors", "tokenizer/tokenizer.json"

 private:
  Path folder_;
  ModelConfig model_;
  std::vector<std::string> files_;
};

}  // namespace ecp
