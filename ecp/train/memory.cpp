#include "ecp/train/memory.h"

#include "ecp/base/error.h"
#include "ecp/base/system.h"
#include "ecp/config/complexity.h"
#include "ecp/config/parameters.h"

namespace ecp {

double least_training_memory(const Config& config) {
  const ModelConfig& model = config.model;
  double weights = 0;
  for (const Parameter& parameter : parameters(model)) weights += static_cast<double>(parameter.elements());
  const double of_window = activation_bytes(model, model.sequence, config.train.dtype == "bfloat16");
  return 16 * weights + static_cast<double>(config.train.batch) * of_window;
}

void require_memory(const Config& config) {
  const double least = least_training_memory(config), free = static_cast<double>(free_memory());
  require(free == 0 || least <= free,
          "training needs at least {:.1f} GB of memory, {:.1f} GB are free: try a smaller model.dim, "
          "model.layers, model.sequence or train.batch (with more train.accumulation)",
          least * 1e-9, free * 1e-9);
}

}  // namespace ecp
