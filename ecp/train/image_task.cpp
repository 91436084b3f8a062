#include "ecp/train/image_task.h"

#include <utility>

#include "ecp/base/error.h"
#include "ecp/base/hash.h"
#include "ecp/eval/accuracy.h"

namespace ecp {
namespace {

nlohmann::ordered_json facts_of(const ImageFile& file) {
  return {{"path", file.path().string()}, {"hash", file.hash()}, {"images", file.size()}};
}

/// Of all training files, in their order.
std::string hash_of(const ImageData& data) {
  std::string all;
  for (const ImageFile& file : data.train_files()) all += file.hash();
  return hash_bytes(all);
}

}  // namespace

ImageTask::ImageTask(const Config& config)
    : Task(config),
      data_(config.data.images, config.data.validation_images),
      sampler_(data_.size(ImagePart::train), static_cast<std::uint64_t>(config.train.seed), config.data.flip),
      model_(this->config().model) {}

Task::Batch ImageTask::next(std::int64_t step) {
  const std::int64_t size = config().train.batch;
  const ImageBatch images(size);
  std::vector<std::int64_t> samples;
  Batch batch;
  for (std::int64_t i = 0; i < size; ++i) {
    const ImageSampler::Drawn drawn = sampler_.next();
    images.set(i, data_, ImagePart::train, drawn.index, drawn.mirrored);
    samples.push_back(static_cast<std::int64_t>(drawn.sample));
    const ImageData::Place place = data_.place(ImagePart::train, drawn.index);
    batch.places.push_back({static_cast<std::int64_t>(place.file), place.image});
  }
  batch.loss_sum =
      model_.loss_sum(images.pixels_BN, images.labels_B, training_context(step, std::move(samples)));
  batch.trained = size;
  return batch;
}

std::optional<Measurement> ImageTask::measure(const ProgressFunction& progress) {
  if (data_.size(ImagePart::validation) == 0) return std::nullopt;
  AccuracyOptions options;
  options.batch = config().eval.batch;
  options.images = static_cast<std::uint64_t>((config().eval.tokens + image_pixels - 1) / image_pixels);
  options.bfloat16 = bfloat16();
  const Accuracy result = measure_accuracy(model_, data_, ImagePart::validation, options, progress);
  return Measurement{to_json(result),
                     1 - result.accuracy,
                     {{"validation", fmt::format("{:.4f}", result.loss)},
                      {"accuracy", fmt::format("{:.2f} %", 100 * result.accuracy)}}};
}

std::string ImageTask::describe_score(double score) const {
  return fmt::format("best validation accuracy {:.2f} %", 100 * (1 - score));
}

std::string ImageTask::describe(const std::vector<Place>& places) const {
  return list_places(places, "images", [this](std::int64_t file) {
    return data_.file(static_cast<std::size_t>(file)).path().string();
  });
}

std::uint64_t ImageTask::tokens_per_epoch() const {
  return data_.size(ImagePart::train) * static_cast<std::uint64_t>(image_pixels);
}

nlohmann::ordered_json ImageTask::data_facts() const {
  nlohmann::ordered_json facts;
  for (const ImageFile& file : data_.train_files()) facts["train"].push_back(facts_of(file));
  facts["validation"] = {{"images", data_.size(ImagePart::validation)}};
  facts["test"] = facts_of(data_.test_file());
  return facts;
}

std::vector<TrainingState::Source> ImageTask::position() const {
  return {{hash_of(data_), sampler_.position()}};
}

void ImageTask::restore(const std::vector<TrainingState::Source>& sources) {
  require(sources.size() == 1 && sources.front().hash == hash_of(data_),
          "data.images '{}': its training images aren't those of the run that is resumed",
          config().data.images);
  sampler_.restore(sources.front().position);
}

}  // namespace ecp
