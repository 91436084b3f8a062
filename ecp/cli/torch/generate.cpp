// ecp generate, for models that the runtime has no cache for: their window is computed anew for each token.
#include <ATen/Parallel.h>

#include "ecp/base/system.h"
#include "ecp/cli/torch/commands.h"
#include "ecp/model/window_source.h"
#include "ecp/runtime/model.h"
#include "ecp/weights/checkpoint.h"

namespace ecp::cli {

std::shared_ptr<const Model> load_window_model(const Path& path, int threads) {
  at::set_num_threads(threads > 0 ? threads : available_cpus());
  const Checkpoint checkpoint(path);
  const auto model = std::make_shared<LanguageModel>(checkpoint.model());
  model->load(checkpoint.weights());
  return Model::create(
      checkpoint.model(), [model] { return std::make_unique<WindowSource>(model); }, checkpoint.tokenizer());
}

}  // namespace ecp::cli
