#include "ecp/images/image_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/support/errors.h"
#include "tests/support/images.h"
#include "tests/support/temporary_folder.h"

namespace ecp {
namespace {

using test::error_of;
using test::image_records;
using test::TemporaryFolder;

std::vector<std::int64_t> pixels_of(const ImageFile& file, std::uint64_t image, bool mirrored = false) {
  std::vector<std::int64_t> pixels(1024);
  file.read(image, pixels, mirrored);
  return pixels;
}

TEST(ImageFile, GrayPixelsAreTheirBytes) {
  const TemporaryFolder folder;
  const std::string bytes = image_records(12, 5);
  write_file(folder / "a.bin", bytes);
  const ImageFile file(folder / "a.bin");
  ASSERT_EQ(file.size(), 12U);
  EXPECT_FALSE(file.in_color());
  for (std::uint64_t i = 0; i < 12; ++i) {
    EXPECT_EQ(file.label(i), static_cast<std::int64_t>(i % 10));
    const auto pixels = pixels_of(file, i);
    for (std::size_t k = 0; k < 1024; ++k)
      ASSERT_EQ(pixels[k], static_cast<unsigned char>(bytes[i * 1025 + 1 + k]));
  }
}

TEST(ImageFile, ColorsBecomeRoundedLuma) {
  const TemporaryFolder folder;
  std::string bytes = image_records(3, 5, 3);
  for (std::size_t k = 1; k < 3073; ++k)
    bytes[k] = static_cast<char>(random_below(256, 9, k));  // image 0: any colours
  const std::size_t plane = 1024;
  bytes[1] = bytes[1 + plane] = bytes[1 + 2 * plane] = static_cast<char>(255);
  bytes[2] = bytes[2 + plane] = bytes[2 + 2 * plane] = 0;
  write_file(folder / "a.bin", bytes);
  const ImageFile file(folder / "a.bin");
  ASSERT_EQ(file.size(), 3U);
  EXPECT_TRUE(file.in_color());
  const auto pixels = pixels_of(file, 0);
  EXPECT_EQ(pixels[0], 255) << "white stays white";
  EXPECT_EQ(pixels[1], 0);
  for (std::size_t k = 0; k < plane; ++k) {
    const auto value = [&](std::size_t channel) {
      return static_cast<double>(static_cast<unsigned char>(bytes[1 + channel * plane + k]));
    };
    const double exact = 0.2989 * value(0) + 0.5870 * value(1) + 0.1140 * value(2);
    EXPECT_LE(std::abs(static_cast<double>(pixels[k]) - exact), 0.5 + 1e-9);
  }
}

TEST(ImageFile, MirroredRowsRunBackwards) {
  const TemporaryFolder folder;
  write_file(folder / "a.bin", image_records(1, 5));
  const ImageFile file(folder / "a.bin");
  auto pixels = pixels_of(file, 0);
  const auto mirrored = pixels_of(file, 0, true);
  EXPECT_NE(pixels, mirrored);
  for (std::ptrdiff_t row = 0; row < 32; ++row)
    std::reverse(pixels.begin() + row * 32, pixels.begin() + (row + 1) * 32);
  EXPECT_EQ(pixels, mirrored);
}

TEST(ImageFile, ASizeOfBothFormsIsToldByItsLabels) {
  const TemporaryFolder folder;
  // 1025 images in colour are as long as 3073 in gray.
  write_file(folder / "gray.bin", image_records(3073, 5));
  write_file(folder / "color.bin", image_records(1025, 5, 3));
  EXPECT_FALSE(ImageFile(folder / "gray.bin").in_color());
  EXPECT_TRUE(ImageFile(folder / "color.bin").in_color());
}

TEST(ImageFile, TellsWhatIsWrong) {
  const TemporaryFolder folder;
  const Path path = folder / "a.bin";
  const auto said = [&](const std::string& bytes) {
    write_file(path, bytes);
    return error_of([&] { const ImageFile file(path); });
  };
  const std::string expected = "'" + path.string() +
                               "': expected images as records of 3073 bytes (a label, then red, green and "
                               "blue) or 1025 (a label, then gray), got ";
  EXPECT_EQ(said(""), expected + "0 bytes");
  EXPECT_EQ(said(image_records(4, 1) + "x"), expected + "4101 bytes");
  EXPECT_EQ(said(image_records(4, 1).substr(1)), expected + "4099 bytes");
  std::string bytes = image_records(4, 1);
  bytes[2 * 1025] = 10;
  EXPECT_EQ(said(bytes), "'" + path.string() + "': image 2: expected a label from 0 to 9, got 10");
  bytes = image_records(4, 1, 3);
  bytes[3 * 3073] = static_cast<char>(200);
  EXPECT_EQ(said(bytes), "'" + path.string() + "': image 3: expected a label from 0 to 9, got 200");
  EXPECT_NE(error_of([&] { const ImageFile file(folder / "none.bin"); }), "");
  write_file(path, image_records(4, 1));
  const ImageFile file(path);
  EXPECT_EQ(error_of([&] { (void)file.label(4); }),
            "'" + path.string() + "': image 4 is beyond its 4 images");
  std::vector<std::int64_t> small(5);
  EXPECT_EQ(error_of([&] { file.read(0, small); }), "image: expected room for 1024 pixels, got 5");
}

TEST(ImageFile, HashesTellContents) {
  const TemporaryFolder folder;
  write_file(folder / "a.bin", image_records(4, 1));
  write_file(folder / "b.bin", image_records(4, 1));
  write_file(folder / "c.bin", image_records(4, 2));
  EXPECT_EQ(ImageFile(folder / "a.bin").hash(), ImageFile(folder / "b.bin").hash());
  EXPECT_NE(ImageFile(folder / "a.bin").hash(), ImageFile(folder / "c.bin").hash());
}

}  // namespace
}  // namespace ecp
