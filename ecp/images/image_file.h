// Files of small labelled images as CIFAR-10 has them: records of one label byte (0 to 9) and the bytes of 32
// rows of 32 pixels, all red ones, then all green, then all blue; or, in gray files, of gray alone.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "ecp/base/files.h"

namespace ecp {

constexpr std::int64_t image_side = 32;
constexpr std::int64_t image_pixels = image_side * image_side;
constexpr std::int64_t image_classes = 10;
constexpr std::int64_t pixel_values = 256;

/// A mapped file of images.
class ImageFile {
 public:
  /// The size tells colour from gray. Fails if it isn't a whole number of records, at least one, or if a
  /// label is above 9.
  explicit ImageFile(const Path& path);

  [[nodiscard]] const Path& path() const { return path_; }
  [[nodiscard]] std::uint64_t size() const { return images_; }
  [[nodiscard]] bool in_color() const { return channels_ == 3; }
  /// Of the whole content.
  [[nodiscard]] const std::string& hash() const { return hash_; }

  [[nodiscard]] std::int64_t label(std::uint64_t image) const;
  /// The pixels row by row as gray values 0 to 255: 0.2989 R + 0.5870 G + 0.1140 B, rounded to nearest. `out`
  /// holds 1024. `mirrored`: left and right exchanged.
  void read(std::uint64_t image, std::span<std::int64_t> out, bool mirrored = false) const;

 private:
  [[nodiscard]] const std::uint8_t* record(std::uint64_t image) const;

  Path path_;
  MappedFile file_;
  std::uint64_t images_ = 0, channels_ = 0;
  std::string hash_;
};

}  // namespace ecp
