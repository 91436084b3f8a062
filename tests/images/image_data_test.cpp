#include "ecp/images/image_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <map>
#include <set>
#include <utility>
#include <vector>

#include "tests/support/errors.h"
#include "tests/support/images.h"
#include "tests/support/temporary_folder.h"

namespace ecp {
namespace {

using test::error_of;
using test::image_records;
using test::TemporaryFolder;
using test::write_images;
using ::testing::HasSubstr;

std::set<std::pair<std::size_t, std::uint64_t>> places(const ImageData& data, ImagePart part) {
  std::set<std::pair<std::size_t, std::uint64_t>> all;
  for (std::uint64_t i = 0; i < data.size(part); ++i) {
    const ImageData::Place place = data.place(part, i);
    all.emplace(place.file, place.image);
  }
  EXPECT_EQ(all.size(), data.size(part)) << "each once";
  return all;
}

TEST(ImageData, PartsShareNoImageAndLeaveNoneOut) {
  const TemporaryFolder folder;
  write_images(folder / "set", 100, 30);
  const ImageData data(folder / "set", 20);
  EXPECT_EQ(data.size(ImagePart::train), 80U);
  EXPECT_EQ(data.size(ImagePart::validation), 20U);
  EXPECT_EQ(data.size(ImagePart::test), 30U);
  auto all = places(data, ImagePart::train);
  all.merge(places(data, ImagePart::validation));
  EXPECT_EQ(all.size(), 100U);
  for (const auto& [file, image] : all) {
    EXPECT_EQ(file, 0U);
    EXPECT_LT(image, 100U);
  }
  // Classes follow each other in the files; the validation part has most of them nevertheless.
  std::set<std::int64_t> labels;
  for (std::uint64_t i = 0; i < 20; ++i) labels.insert(data.label(ImagePart::validation, i));
  EXPECT_GE(labels.size(), 6U);
  for (std::uint64_t i = 0; i < 30; ++i)
    EXPECT_EQ(data.label(ImagePart::test, i), static_cast<std::int64_t>(i % 10));
}

TEST(ImageData, TheSameImagesAreKeptAsideEveryTime) {
  const TemporaryFolder folder;
  write_images(folder / "set", 100, 30);
  EXPECT_EQ(places(ImageData(folder / "set", 20), ImagePart::validation),
            places(ImageData(folder / "set", 20), ImagePart::validation));
  EXPECT_EQ(places(ImageData(folder / "set", 0), ImagePart::train).size(), 100U);
}

TEST(ImageData, BatchesOfCifar) {
  const TemporaryFolder folder;
  for (std::uint64_t batch = 1; batch <= 5; ++batch)
    write_file(folder / ("data_batch_" + std::to_string(batch) + ".bin"),
               image_records(10 * batch, batch, 3));
  write_file(folder / "test_batch.bin", image_records(20, 9, 3));
  const ImageData data(folder.path(), 30);
  EXPECT_EQ(data.size(ImagePart::train), 120U);
  std::map<std::size_t, std::uint64_t> of_file;
  auto all = places(data, ImagePart::train);
  all.merge(places(data, ImagePart::validation));
  for (const auto& [file, image] : all) {
    ++of_file[file];
    EXPECT_LT(image, data.file(file).size());
  }
  for (std::size_t file = 0; file < 5; ++file) EXPECT_EQ(of_file[file], 10 * (file + 1));
  std::vector<std::int64_t> read(1024), direct(1024);
  data.read(ImagePart::train, 7, read);
  const ImageData::Place place = data.place(ImagePart::train, 7);
  data.file(place.file).read(place.image, direct);
  EXPECT_EQ(read, direct);

  std::filesystem::remove(folder / "data_batch_4.bin");
  EXPECT_THAT(error_of([&] { const ImageData missing(folder.path(), 0); }), HasSubstr("data_batch_4.bin"));
}

TEST(ImageData, TellsWhatIsMissing) {
  const TemporaryFolder folder;
  EXPECT_THAT(error_of([&] { const ImageData data(folder / "nowhere", 0); }),
              HasSubstr("nowhere': no such folder"));
  EXPECT_THAT(error_of([&] { const ImageData data(folder.path(), 0); }),
              HasSubstr("expected data_batch_1.bin to data_batch_5.bin and test_batch.bin, or train.bin and "
                        "test.bin, in it"));
  write_images(folder / "set", 10, 10);
  EXPECT_THAT(error_of([&] { const ImageData data(folder / "set", 10); }),
              HasSubstr("data.validation_images: expected less than the 10 training images of"));
  const ImageData data(folder / "set", 2);
  EXPECT_THAT(error_of([&] { (void)data.label(ImagePart::validation, 2); }),
              HasSubstr("2 is beyond the 2 of validation"));
  EXPECT_THAT(error_of([] { parse_image_part("tests"); }),
              HasSubstr("expected train, validation or test, got 'tests'"));
}

TEST(ImageSampler, TakesEachImageOncePerEpochInAnotherOrder) {
  ImageSampler sampler(50, 1, false);
  std::vector<std::vector<std::uint64_t>> epochs;
  for (std::uint64_t epoch = 0; epoch < 3; ++epoch) {
    std::vector<std::uint64_t> order;
    for (std::uint64_t i = 0; i < 50; ++i) {
      const ImageSampler::Drawn drawn = sampler.next();
      EXPECT_EQ(drawn.sample, epoch * 50 + i);
      EXPECT_FALSE(drawn.mirrored);
      order.push_back(drawn.index);
    }
    EXPECT_EQ(std::set<std::uint64_t>(order.begin(), order.end()).size(), 50U);
    epochs.push_back(order);
  }
  EXPECT_NE(epochs[0], epochs[1]);
  EXPECT_NE(epochs[1], epochs[2]);
  ImageSampler other(50, 2, false);
  std::vector<std::uint64_t> order;
  for (int i = 0; i < 50; ++i) order.push_back(other.next().index);
  EXPECT_NE(order, epochs[0]) << "the seed decides";
}

TEST(ImageSampler, GoesOnWhereItStood) {
  EXPECT_TRUE(rc::check("resumed", [] {
    const auto images = *rc::gen::inRange<std::uint64_t>(1, 40);
    const auto before = *rc::gen::inRange(0, 100);
    ImageSampler whole(images, 7, true), parts(images, 7, true);
    for (int i = 0; i < before; ++i) whole.next();
    parts.restore(whole.position());
    for (int i = 0; i < 50; ++i) {
      const auto a = whole.next(), b = parts.next();
      RC_ASSERT(a.index == b.index);
      RC_ASSERT(a.sample == b.sample);
      RC_ASSERT(a.mirrored == b.mirrored);
    }
  }));
}

TEST(ImageSampler, MirrorsHalfOfTheImages) {
  ImageSampler sampler(1000, 3, true);
  int mirrored = 0;
  for (int i = 0; i < 2000; ++i) mirrored += sampler.next().mirrored ? 1 : 0;
  EXPECT_GT(mirrored, 900);
  EXPECT_LT(mirrored, 1100);
}

TEST(ImageSampler, RefusesImpossiblePositions) {
  ImageSampler sampler(10, 1, false);
  for (const EpochPosition& bad : {EpochPosition{0, 10, 10}, EpochPosition{1, 2, 11}, EpochPosition{0, 5, 4},
                                   EpochPosition{std::uint64_t{1} << 62, 1, 1}})
    EXPECT_THAT(error_of([&] { sampler.restore(bad); }),
                HasSubstr("data position: expected an image below 10"));
  sampler.restore({3, 4, 34});
  EXPECT_EQ(sampler.next().sample, 34U);
}

}  // namespace
}  // namespace ecp
