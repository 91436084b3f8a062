#include "ecp/images/image_file.h"

#include <optional>

#include "ecp/base/hash.h"

namespace ecp {
namespace {

constexpr std::uint64_t record_bytes(std::uint64_t channels) {
  return 1 + channels * static_cast<std::uint64_t>(image_pixels);
}

/// The first record whose label no class has.
std::optional<std::uint64_t> find_bad_label(std::string_view bytes, std::uint64_t channels) {
  const std::uint64_t step = record_bytes(channels);
  for (std::uint64_t image = 0; image < bytes.size() / step; ++image) {
    if (static_cast<unsigned char>(bytes[image * step]) >= image_classes) return image;
  }
  return std::nullopt;
}

/// In tenths of thousandths, so that the sum is exact.
std::uint8_t luma(int red, int green, int blue) {
  return static_cast<std::uint8_t>((2989 * red + 5870 * green + 1140 * blue + 5000) / 10000);
}

}  // namespace

ImageFile::ImageFile(const Path& path) : path_(path), file_(path) {
  const std::string_view bytes = file_.text();
  const auto fits = [&](std::uint64_t channels) {
    return !bytes.empty() && bytes.size() % record_bytes(channels) == 0;
  };
  require(fits(3) || fits(1),
          "'{}': expected images as records of {} bytes (a label, then red, green and blue) or {} (a label, "
          "then gray), got {} bytes",
          path.string(), record_bytes(3), record_bytes(1), bytes.size());
  // A size may be a multiple of both; then labels tell.
  channels_ = fits(3) && !(fits(1) && find_bad_label(bytes, 3)) ? 3 : 1;
  images_ = bytes.size() / record_bytes(channels_);
  if (const auto bad = find_bad_label(bytes, channels_)) {
    fail("'{}': image {}: expected a label from 0 to {}, got {}", path.string(), *bad, image_classes - 1,
         label(*bad));
  }
  hash_ = hash_bytes(bytes);
}

const std::uint8_t* ImageFile::record(std::uint64_t image) const {
  require(image < images_, "'{}': image {} is beyond its {} images", path_.string(), image, images_);
  return reinterpret_cast<const std::uint8_t*>(file_.bytes().data()) + image * record_bytes(channels_);
}

std::int64_t ImageFile::label(std::uint64_t image) const { return *record(image); }

void ImageFile::read(std::uint64_t image, std::span<std::int64_t> out, bool mirrored) const {
  require(out.size() == static_cast<std::size_t>(image_pixels), "image: expected room for {} pixels, got {}",
          image_pixels, out.size());
  const std::uint8_t* pixels = record(image) + 1;
  for (std::int64_t i = 0; i < image_pixels; ++i) {
    const std::int64_t column = i % image_side;
    const std::int64_t from = mirrored ? i - column + (image_side - 1 - column) : i;
    out[static_cast<std::size_t>(i)] =
        in_color() ? luma(pixels[from], pixels[from + image_pixels], pixels[from + 2 * image_pixels])
                   : pixels[from];
  }
}

}  // namespace ecp
