#include "ecp/config/train_config.h"

#include "ecp/base/error.h"

namespace ecp {

void Config::validate() const {
  model.validate();
  require(!data.train.empty(), "data.train: expected at least one token file");
  require(data.weights.empty() || data.weights.size() == data.train.size(),
          "data.weights: expected {} numbers, one per file of data.train, got {}", data.train.size(),
          data.weights.size());
  double sum = 0;
  for (const double weight : data.weights) sum += weight;
  require(data.weights.empty() || sum > 0, "data.weights: expected a positive sum, got {}", sum);
  require(
      data.cross_documents || !model.has_unmasked_history(),
      "data.cross_documents: expected true with model.architecture \"{}\", whose history rows see all of it",
      model.architecture);
  require(eval.context < model.sequence, "eval.context: expected less than model.sequence {}, got {}",
          model.sequence, eval.context);
}

}  // namespace ecp
