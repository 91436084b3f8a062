// Files of images for tests, in CIFAR-10's binary forms.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "ecp/base/files.h"
#include "ecp/base/random.h"

namespace ecp::test {

/// Records of `channels` (1 or 3) planes. Image i has the label i % 10 and is about as bright as its label
/// says, so that it can be learned in a moment.
inline std::string image_records(std::uint64_t images, std::uint64_t seed, std::uint64_t channels = 1) {
  std::string bytes;
  for (std::uint64_t i = 0; i < images; ++i) {
    const std::uint64_t label = i % 10;
    bytes += static_cast<char>(label);
    for (std::uint64_t pixel = 0; pixel < 1024 * channels; ++pixel)
      bytes += static_cast<char>(label * 25 + random_below(25, seed, i, pixel));
  }
  return bytes;
}

/// A folder as data.images wants it, gray.
inline void write_images(const std::filesystem::path& folder, std::uint64_t train, std::uint64_t test) {
  make_folders(folder);
  write_file(folder / "train.bin", image_records(train, 1));
  write_file(folder / "test.bin", image_records(test, 2));
}

}  // namespace ecp::test
