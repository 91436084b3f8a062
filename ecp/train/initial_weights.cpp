#include "ecp/train/initial_weights.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "ecp/base/error.h"
#include "ecp/base/fields.h"
#include "ecp/text/tokenizer.h"
#include "ecp/weights/checkpoint.h"

namespace ecp {
namespace {

constexpr std::array silent{"preset", "sequence", "dropout", "init"};
constexpr std::array warned{"architecture", "block",    "lookback",        "shift_heads",
                            "causal",       "latents",  "history_segment", "compressed_residual",
                            "group",        "window",   "rotate_values",   "rope",
                            "rope_theta",   "norm_eps", "pooling"};

template <std::size_t size>
bool among(const std::array<const char*, size>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

std::vector<std::string> load_initial_weights(Backbone& model, const Path& path,
                                              const std::string& tokenizer_hash) {
  const Checkpoint checkpoint(path);
  ModelConfig ours = model.config().resolved(), theirs = checkpoint.model().resolved();
  const std::vector<Field> our_fields = FieldList(ours).fields, their_fields = FieldList(theirs).fields;
  std::vector<std::string> warnings;
  for (std::size_t i = 0; i < our_fields.size(); ++i) {
    const std::string& name = our_fields[i].name;
    const std::string here = to_toml(our_fields[i]), there = to_toml(their_fields[i]);
    if (here == there || among(silent, name)) continue;
    require(among(warned, name), "train.init '{}': model.{}: expected {} as in the checkpoint, got {}",
            checkpoint.folder().string(), name, there, here);
    warnings.push_back(fmt::format("train.init '{}': model.{} is {} in the checkpoint, {} here",
                                   checkpoint.folder().string(), name, there, here));
  }
  if (const auto tokenizer = checkpoint.tokenizer()) {
    require(tokenizer->hash() == tokenizer_hash, "train.init '{}': its tokenizer isn't the training data's",
            checkpoint.folder().string());
  }
  model.load(checkpoint.weights());
  return warnings;
}

}  // namespace ecp
