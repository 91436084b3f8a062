#include "ecp/train/memory.h"

#include <algorithm>

#include "ecp/base/error.h"
#include "ecp/base/system.h"
#include "ecp/config/complexity.h"
#include "ecp/config/parameters.h"

namespace ecp {
namespace {

constexpr double gigabyte = 1e9;
constexpr double program_bytes = 0.3 * gigabyte;  // LibTorch, oneDNN, their buffers, logits in work

struct Counts {
  double parameters = 0, matrices = 0, classifier = 0;  // elements
};

Counts counts_of(const ModelConfig& model) {
  Counts counts;
  for (const Parameter& parameter : parameters(model)) {
    const auto elements = static_cast<double>(parameter.elements());
    const bool embedding = parameter.name == "embedding.weight";
    counts.parameters += elements;
    if (parameter.shape.size() == 2 && (!embedding || model.tie_embeddings)) counts.matrices += elements;
    if (parameter.name == (model.tie_embeddings ? "embedding.weight" : "classifier.weight"))
      counts.classifier = elements;
  }
  return counts;
}

bool bfloat16(const Config& config) { return config.train.dtype == "bfloat16"; }

}  // namespace

TrainingMemory training_memory(const Config& config, bool recompute) {
  const ModelConfig& model = config.model;
  const Counts counts = counts_of(model);
  const auto batch = static_cast<double>(config.train.batch);
  const double kept = batch * activation_bytes(model, model.sequence, bfloat16(config), recompute);
  ModelConfig one = model;
  one.layers = 1;
  const double of_layer = batch * activation_bytes(one, model.sequence, bfloat16(config));
  TrainingMemory memory;
  memory.weights = 12 * counts.parameters;
  memory.packed = bfloat16(config) ? 4 * counts.matrices : 0;
  // The backward gives activations back while gradients of weights appear: the most is at its beginning, or
  // at its end. The gradients of a layer's activations are about as large as these.
  memory.activations = std::max(kept + 4 * counts.classifier, of_layer + 4 * counts.parameters) + of_layer;
  memory.program = program_bytes;
  return memory;
}

double least_training_memory(const Config& config) {
  const ModelConfig& model = config.model;
  const bool recompute = config.train.activation_checkpointing != "off";
  const double of_window = activation_bytes(model, model.sequence, bfloat16(config), recompute);
  return 16 * counts_of(model).parameters + static_cast<double>(config.train.batch) * of_window;
}

double memory_limit(const Config& config) {
  return config.train.memory_limit > 0 ? config.train.memory_limit * gigabyte
                                       : static_cast<double>(free_memory());
}

bool choose_recompute(const Config& config) {
  const std::string& wanted = config.train.activation_checkpointing;
  const double limit = memory_limit(config);
  const bool recompute =
      wanted == "on" || (wanted == "auto" && limit > 0 && training_memory(config, false).total() > limit);
  constexpr const char* advice =
      "try a smaller model.dim, model.layers, model.sequence or train.batch (with more train.accumulation); "
      "ecp "
      "train --plan tells what fits";
  if (config.train.memory_limit > 0) {
    const double total = training_memory(config, recompute).total();
    require(total <= limit, "training takes about {:.1f} GB of memory{}, train.memory_limit is {:.1f}: {}",
            total / gigabyte, recompute ? " with activation checkpointing" : "", limit / gigabyte, advice);
  }
  const double least = least_training_memory(config), free = static_cast<double>(free_memory());
  require(free == 0 || least <= free, "training needs at least {:.1f} GB of memory, {:.1f} GB are free: {}",
          least / gigabyte, free / gigabyte, advice);
  return recompute;
}

}  // namespace ecp
