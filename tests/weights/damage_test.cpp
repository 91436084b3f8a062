// Single flipped bits and cut-off ends in every file of a checkpoint: each is refused with one line. Where
// that can't be (manifests of version 1 have no hash of themselves) what is loaded must be exactly what was
// written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ecp/base/error.h"
#include "ecp/runtime/model.h"
#include "ecp/weights/convert.h"
#include "tests/support/damage.h"
#include "tests/support/temporary_folder.h"
#include "tests/weights/sample_checkpoint.h"

namespace ecp {
namespace {

using test::TemporaryFolder;

void expect_all_refused(const Path& folder, std::uint64_t flips, std::uint64_t cuts) {
  const auto load = [&] { (void)Model::load(folder, 1); };
  load();
  test::Damager damager(folder, load);
  const auto expect_refused = [&](const std::string& message, std::uint64_t i) {
    const std::string& name = damager.name(i);
    EXPECT_THAT(message, testing::HasSubstr(folder.string())) << "damage " << i << " to " << name;
    EXPECT_THAT(message, testing::HasSubstr(name)) << "damage " << i;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  };
  for (std::uint64_t i = 0; i < flips; ++i) expect_refused(damager.flip(i), i);
  for (std::uint64_t i = 0; i < cuts; ++i) expect_refused(damager.cut(i), i);
  EXPECT_NO_THROW(load()) << "undamaged again";
}

TEST(Damage, ToAnyFileIsRefused) {
  const TemporaryFolder folder;
  const Path checkpoint = test::write_sample_checkpoint(folder / "checkpoint");
  EXPECT_THAT(
      test::files_under(checkpoint),
      testing::ElementsAre("config.json", "manifest.json", "model.safetensors", "optimizer.safetensors",
                           "state.json", "tokenizer/tokenizer.json", "tokenizer/tokenizer.model"));
  expect_all_refused(checkpoint, 1000, 200);
}

TEST(Damage, ToWeightsInSeveralFilesIsRefused) {
  const TemporaryFolder folder;
  const Path checkpoint = test::write_sample_checkpoint(folder / "checkpoint");
  convert_checkpoint(checkpoint, folder / "shards", {.dtype = DType::bf16, .most_shard_bytes = 2000});
  EXPECT_THAT(test::files_under(folder / "shards"), testing::Contains("model.safetensors.index.json"));
  expect_all_refused(folder / "shards", 300, 60);
}

TEST(Damage, EveryBitOfAManifestCounts) {
  const TemporaryFolder folder;
  const Path checkpoint = test::write_sample_checkpoint(folder / "checkpoint");
  const std::string text = read_file(checkpoint / manifest_name);
  EXPECT_EQ(parse_manifest(text, "m").files.size(), 6u);
  for (std::size_t bit = 0; bit < text.size() * 8; ++bit) {
    std::string flipped = text;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
    EXPECT_THROW((void)parse_manifest(flipped, "m"), Error) << "bit " << bit;
  }
  for (std::size_t size = 0; size < text.size(); ++size) {
    EXPECT_THROW((void)parse_manifest(text.substr(0, size), "m"), Error) << size;
  }
}

/// A manifest as programs wrote it before it had a hash of itself.
std::string version_1(const std::string& manifest) {
  std::string text = manifest.substr(0, manifest.rfind(",\n  \"xxh3\"")) + "\n}\n";
  return text.replace(text.find("\"version\": 2"), 12, "\"version\": 1");
}

TEST(Damage, ToAManifestOfVersion1IsRefusedOrChangesNothing) {
  const TemporaryFolder folder;
  const Path checkpoint = test::write_sample_checkpoint(folder / "checkpoint");
  const auto expected = test::weights_of(checkpoint);
  const std::string text = version_1(read_file(checkpoint / manifest_name));
  test::overwrite(checkpoint / manifest_name, text);
  EXPECT_EQ(test::weights_of(checkpoint), expected) << "still read";
  int refused = 0, harmless = 0;
  for (std::size_t bit = 0; bit < text.size() * 8; bit += 3) {
    std::string flipped = text;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
    test::overwrite(checkpoint / manifest_name, flipped);
    try {
      EXPECT_EQ(test::weights_of(checkpoint), expected) << "bit " << bit;
      ++harmless;
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);
  EXPECT_EQ(harmless, 0);
}

}  // namespace
}  // namespace ecp
