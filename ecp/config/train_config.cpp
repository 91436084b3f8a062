#include "ecp/config/train_config.h"

#include "ecp/base/error.h"
#include "ecp/images/image_file.h"

namespace ecp {

void Config::validate() const {
  model.validate();
  if (!data.probe.empty()) return validate_probe();
  if (!data.images.empty()) return validate_images();
  require(!data.train.empty(), "data.train: expected at least one token file");
  require(model.causal,
          "model.causal: expected true with data.train, whose tokens predict the next, got false");
  require(model.classes == 0,
          "model.classes: expected 0 with data.train, whose tokens predict the next, got {}", model.classes);
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

void Config::validate_images() const {
  require(data.train.empty(), "data.images: expected no data.train beside it");
  require(data.validation.empty(),
          "data.validation: expected none with data.images, some of which are kept aside "
          "(data.validation_images)");
  require(model.classes == image_classes, "model.classes: expected {} with data.images, got {}",
          image_classes, model.classes);
  require(model.sequence == image_pixels, "model.sequence: expected the {} pixels of data.images, got {}",
          image_pixels, model.sequence);
  require(model.vocab == 0 || model.vocab == pixel_values,
          "model.vocab: expected the {} values of a pixel (or 0) with data.images, got {}", pixel_values,
          model.vocab);
}

ProbeSettings Config::probe() const {
  return {data.probe, model.sequence, data.probe_nearest, data.probe_farthest, data.probe_items};
}

void Config::validate_probe() const {
  require(data.train.empty() && data.validation.empty() && data.images.empty(),
          "data.probe: expected no data.train, data.validation or data.images beside it");
  require(model.causal && model.classes == 0,
          "data.probe: expected a causal language model (model.causal = true, model.classes = 0)");
  const auto probe = make_probe(this->probe());
  require(model.vocab == 0 || model.vocab == probe->facts().vocab,
          "model.vocab: expected the {} tokens of data.probe \"{}\" (or 0), got {}", probe->facts().vocab,
          data.probe, model.vocab);
  require(model.trained_rows(model.sequence) >= probe->facts().rows_asking,
          "model.latents: expected at least {}, the rows that data.probe \"{}\" asks in, got {}",
          probe->facts().rows_asking, data.probe, model.latents);
}

}  // namespace ecp
