#include "ecp/eval/image_evaluation.h"

#include <nlohmann/json.hpp>

#include "ecp/base/error.h"
#include "ecp/weights/run_config.h"

namespace ecp {

nlohmann::ordered_json to_json(const ImageEvaluation& evaluation) {
  nlohmann::ordered_json json = {{"data", evaluation.data.string()}};
  for (const auto& [part, accuracy] : evaluation.parts) json[name_of(part)] = to_json(accuracy);
  return json;
}

ImageEvaluation evaluate_images(const Checkpoint& checkpoint, const ImageEvaluationOptions& options,
                                const ProgressFunction& progress) {
  const std::optional<Config> run = config_of_run(checkpoint);
  ImageEvaluation result;
  result.data = !options.data.empty() ? options.data : run ? Path(run->data.images) : Path();
  require(!result.data.empty(),
          "checkpoint '{}': expected --data FOLDER with images, since it stands in no run that tells them",
          checkpoint.folder().string());
  const ImageData data(result.data, run ? run->data.validation_images : 0);
  std::vector<ImagePart> parts = options.parts;
  if (parts.empty()) {
    if (data.size(ImagePart::validation) > 0) parts.push_back(ImagePart::validation);
    parts.push_back(ImagePart::test);
  }
  for (const ImagePart part : parts) {
    require(run || part == ImagePart::test,
            "checkpoint '{}': the {} images aren't known, since it stands in no run that tells how many were "
            "kept aside",
            checkpoint.folder().string(), name_of(part));
  }
  Classifier model(checkpoint.model());
  model.load(checkpoint.weights());
  for (const ImagePart part : parts)
    result.parts.emplace_back(part, measure_accuracy(model, data, part, options.accuracy, progress));
  return result;
}

}  // namespace ecp
