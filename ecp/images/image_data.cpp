#include "ecp/images/image_data.h"

#include "ecp/base/random.h"

namespace ecp {
namespace {

// What a seed is used for; keeps the streams apart.
enum Purpose : std::uint64_t { order = 11, mirroring = 12 };

constexpr std::uint64_t split_key = 0x43494641522D3130u;  // the validation part is the same in every run

bool is_gray(const Path& folder) {
  require(std::filesystem::is_directory(folder), "data.images '{}': no such folder", folder.string());
  const bool gray = std::filesystem::exists(folder / "train.bin");
  require(gray || std::filesystem::exists(folder / "data_batch_1.bin"),
          "data.images '{}': expected data_batch_1.bin to data_batch_5.bin and test_batch.bin, or train.bin "
          "and test.bin, in it",
          folder.string());
  return gray;
}

std::vector<ImageFile> open_train(const Path& folder) {
  std::vector<ImageFile> files;
  if (is_gray(folder)) {
    files.emplace_back(folder / "train.bin");
  } else {
    for (int batch = 1; batch <= 5; ++batch)
      files.emplace_back(folder / fmt::format("data_batch_{}.bin", batch));
  }
  return files;
}

std::uint64_t total(const std::vector<ImageFile>& files) {
  std::uint64_t images = 0;
  for (const ImageFile& file : files) images += file.size();
  return images;
}

}  // namespace

std::string name_of(ImagePart part) {
  return part == ImagePart::train ? "train" : part == ImagePart::validation ? "validation" : "test";
}

ImagePart parse_image_part(const std::string& name) {
  for (const ImagePart part : {ImagePart::train, ImagePart::validation, ImagePart::test}) {
    if (name == name_of(part)) return part;
  }
  fail("images: expected train, validation or test, got '{}'", name);
}

ImageData::ImageData(const Path& folder, std::int64_t validation)
    : train_(open_train(folder)),
      test_(folder / (is_gray(folder) ? "test.bin" : "test_batch.bin")),
      pool_(total(train_)),
      validation_(static_cast<std::uint64_t>(validation)),
      order_(pool_, split_key) {
  require(validation >= 0 && validation_ < pool_,
          "data.validation_images: expected less than the {} training images of '{}', got {}", pool_,
          folder.string(), validation);
}

std::uint64_t ImageData::size(ImagePart part) const {
  return part == ImagePart::test    ? test_.size()
         : part == ImagePart::train ? pool_ - validation_
                                    : validation_;
}

ImageData::Place ImageData::place(ImagePart part, std::uint64_t index) const {
  require(index < size(part), "images: {} is beyond the {} of {}", index, size(part), name_of(part));
  if (part == ImagePart::test) return {train_.size(), index};
  std::uint64_t image = order_(part == ImagePart::train ? validation_ + index : index);
  std::size_t file = 0;
  while (image >= train_[file].size()) image -= train_[file++].size();
  return {file, image};
}

std::int64_t ImageData::label(ImagePart part, std::uint64_t index) const {
  const Place where = place(part, index);
  return file(where.file).label(where.image);
}

void ImageData::read(ImagePart part, std::uint64_t index, std::span<std::int64_t> out, bool mirrored) const {
  const Place where = place(part, index);
  file(where.file).read(where.image, out, mirrored);
}

ImageSampler::ImageSampler(std::uint64_t images, std::uint64_t seed, bool mirror)
    : images_(images), seed_(seed), mirror_(mirror) {
  require(images > 0, "images: expected at least one to train on");
}

ImageSampler::Drawn ImageSampler::next() {
  const Permutation permutation(images_, random_bits(random_bits(seed_, Purpose::order), position_.epoch));
  Drawn drawn{permutation(position_.index), position_.drawn, false};
  drawn.mirrored = mirror_ && random_below(2, random_bits(seed_, Purpose::mirroring), drawn.sample) == 1;
  ++position_.drawn;
  if (++position_.index == images_) {
    position_.index = 0;
    ++position_.epoch;
  }
  return drawn;
}

void ImageSampler::restore(const EpochPosition& position) {
  std::uint64_t before = 0;
  const bool possible = position.index < images_ &&
                        !__builtin_mul_overflow(position.epoch, images_, &before) &&
                        position.drawn - position.index == before && position.drawn >= position.index;
  require(possible, "data position: expected an image below {}, got image {} of epoch {} after {}", images_,
          position.index, position.epoch, position.drawn);
  position_ = position;
}

}  // namespace ecp
