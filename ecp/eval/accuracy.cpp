#include "ecp/eval/accuracy.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "ecp/base/error.h"

namespace ecp {

nlohmann::ordered_json to_json(const Accuracy& accuracy) {
  return {{"loss", accuracy.loss},
          {"accuracy", accuracy.accuracy},
          {"correct", accuracy.correct},
          {"images", accuracy.images}};
}

ImageBatch::ImageBatch(std::int64_t size)
    : pixels_BN(at::empty({size, image_pixels}, at::kLong)), labels_B(at::empty({size}, at::kLong)) {}

void ImageBatch::set(std::int64_t row, const ImageData& data, ImagePart part, std::uint64_t index,
                     bool mirrored) const {
  auto* pixels = pixels_BN.mutable_data_ptr<std::int64_t>() + row * image_pixels;
  data.read(part, index, {pixels, static_cast<std::size_t>(image_pixels)}, mirrored);
  labels_B.mutable_data_ptr<std::int64_t>()[row] = data.label(part, index);
}

Accuracy measure_accuracy(Classifier& model, const ImageData& data, ImagePart part,
                          const AccuracyOptions& options, const ProgressFunction& progress) {
  require(options.batch >= 1, "evaluation: batch: expected at least 1, got {}", options.batch);
  const std::uint64_t all = options.images == 0 ? data.size(part) : std::min(options.images, data.size(part));
  require(all > 0, "evaluation: there are no {} images", name_of(part));
  const at::NoGradGuard no_grad;
  ForwardContext context;
  context.bfloat16 = options.bfloat16;
  Accuracy result;
  for (std::uint64_t first = 0; first < all; first += static_cast<std::uint64_t>(options.batch)) {
    const auto size =
        static_cast<std::int64_t>(std::min(static_cast<std::uint64_t>(options.batch), all - first));
    const ImageBatch batch(size);
    for (std::int64_t i = 0; i < size; ++i) batch.set(i, data, part, first + static_cast<std::uint64_t>(i));
    const at::Tensor logits_BC = model.logits(batch.pixels_BN, context);
    result.loss += at::cross_entropy_loss(logits_BC, batch.labels_B, {}, at::Reduction::Sum).item<double>();
    result.correct +=
        static_cast<std::uint64_t>(logits_BC.argmax(1).eq(batch.labels_B).sum().item<std::int64_t>());
    result.images += static_cast<std::uint64_t>(size);
    if (progress) progress({"evaluating", result.images, all, "images"});
  }
  require(std::isfinite(result.loss),
          "evaluation of {} images: the loss is {}: the model's weights are damaged or diverged",
          name_of(part), result.loss);
  result.loss /= static_cast<double>(result.images);
  result.accuracy = static_cast<double>(result.correct) / static_cast<double>(result.images);
  return result;
}

}  // namespace ecp
