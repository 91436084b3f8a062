// A checkpoint is a folder:
//
//   config.json          the model (`to_json(ModelConfig)`)
//   model.safetensors    weights under the names of config/parameters.h, float32, bfloat16 or int8
//                        (weights/quantized.h); or several files with model.safetensors.index.json
//                        (weights/tensor_set.h)
//   tokenizer/           as `Tokenizer::save` wrote it; absent for models without text
//   optimizer.safetensors, state.json   only in checkpoints that can be resumed from
//   manifest.json        size and hash of each file (weights/manifest.h)
//
// It is written under a temporary name, each file synced, the manifest last, then renamed. Loading verifies
// the manifest: every listed file's size and hash, and that nothing needed is missing from the list.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ecp/base/files.h"
#include "ecp/config/model_config.h"
#include "ecp/text/tokenizer.h"
#include "ecp/weights/manifest.h"
#include "ecp/weights/tensor_set.h"

namespace ecp {

/// Fails, naming the first difference, unless the set holds exactly the parameters of `config`, by name and
/// shape, in a floating-point dtype, or matrices in int8 with their scales (weights/quantized.h).
void check_weights(const TensorSet& weights, const ModelConfig& config);

/// A verified checkpoint. Construction fails with one line naming the file that is missing, short or changed.
class Checkpoint {
 public:
  /// `path` is a checkpoint folder, or a run folder: then its `checkpoints/best`, or else `checkpoints/last`.
  explicit Checkpoint(const Path& path);

  [[nodiscard]] const Path& folder() const { return folder_; }
  [[nodiscard]] const ModelConfig& model() const { return model_; }
  /// Weights, checked against the parameter table of `model()`: same names, same shapes.
  [[nodiscard]] TensorSet weights() const;
  /// That of the model's text; null where it has none.
  [[nodiscard]] std::shared_ptr<const Tokenizer> tokenizer() const;
  /// Whether the manifest lists it: "optimizer.safetensors", "tokenizer/tokenizer.json".
  [[nodiscard]] bool has(const std::string& file) const { return manifest_.files.contains(file); }
  [[nodiscard]] const Manifest& manifest() const { return manifest_; }

 private:
  Path folder_;
  Manifest manifest_;
  ModelConfig model_;
};

/// What is right and wrong about a checkpoint, file by file.
struct CheckpointState {
  struct File {
    std::string name;
    std::uint64_t bytes = 0;  // as the manifest says
    std::string fault;        // of `find_fault`
  };
  Path folder;
  std::vector<File> files;
  std::string fault;  // what keeps it from being loaded, in one line; empty: it is intact

  [[nodiscard]] bool intact() const { return fault.empty(); }
};

/// Looks through a checkpoint's folder; fails only if it can't be looked at.
CheckpointState inspect_checkpoint(const Path& folder);

}  // namespace ecp
