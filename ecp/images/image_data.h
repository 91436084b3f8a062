// The images of a folder in three parts, and the order in which training takes them.
//
// The folder holds CIFAR-10's binary files (data_batch_1.bin … data_batch_5.bin and test_batch.bin) or gray
// ones (train.bin and test.bin). The validation part is taken out of the training images by a permutation
// that never changes, so that runs of any seed keep the same images aside.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ecp/base/shuffle.h"
#include "ecp/images/image_file.h"

namespace ecp {

enum class ImagePart : std::uint8_t { train, validation, test };

std::string name_of(ImagePart part);
ImagePart parse_image_part(const std::string& name);

class ImageData {
 public:
  /// Opens all files. Fails if one is missing or damaged, or unless `validation` leaves an image to train on.
  ImageData(const Path& folder, std::int64_t validation);

  /// An image's file, training files first, and its place in it.
  struct Place {
    std::size_t file = 0;
    std::uint64_t image = 0;
  };

  [[nodiscard]] std::uint64_t size(ImagePart part) const;
  [[nodiscard]] Place place(ImagePart part, std::uint64_t index) const;
  [[nodiscard]] std::int64_t label(ImagePart part, std::uint64_t index) const;
  /// Gray pixels, as `ImageFile::read`.
  void read(ImagePart part, std::uint64_t index, std::span<std::int64_t> out, bool mirrored = false) const;

  [[nodiscard]] const std::vector<ImageFile>& train_files() const { return train_; }
  [[nodiscard]] const ImageFile& test_file() const { return test_; }
  [[nodiscard]] const ImageFile& file(std::size_t index) const {
    return index < train_.size() ? train_[index] : test_;
  }

 private:
  std::vector<ImageFile> train_;
  ImageFile test_;
  std::uint64_t pool_ = 0, validation_ = 0;  // images in training files, and those kept aside
  Permutation order_;
};

/// Training images, each once per epoch in an order that seed and epoch decide.
class ImageSampler {
 public:
  struct Drawn {
    std::uint64_t index = 0;   // in the part
    std::uint64_t sample = 0;  // global index in the run
    bool mirrored = false;     // half of them, if asked for
  };

  ImageSampler(std::uint64_t images, std::uint64_t seed, bool mirror);

  Drawn next();
  [[nodiscard]] const EpochPosition& position() const { return position_; }
  /// Continues where `position` was taken. Fails if it can't be of so many images.
  void restore(const EpochPosition& position);

 private:
  std::uint64_t images_, seed_;
  bool mirror_;
  EpochPosition position_;
};

}  // namespace ecp
