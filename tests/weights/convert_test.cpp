#include "ecp/weights/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>

#include "ecp/runtime/model.h"
#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"
#include "tests/weights/sample_checkpoint.h"

namespace ecp {
namespace {

using test::error_of;
using test::TemporaryFolder;
using testing::ElementsAre;
using testing::HasSubstr;

float from_bf16(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

TEST(Bfloat16, KnownRoundings) {
  EXPECT_EQ(to_bf16(1.0f), 0x3F80);
  EXPECT_EQ(to_bf16(-0.0f), 0x8000);
  EXPECT_EQ(to_bf16(1.0f + 0x1p-8f), 0x3F80) << "a tie goes to the even neighbour";
  EXPECT_EQ(to_bf16(1.0f + 0x3p-8f), 0x3F82) << "a tie goes to the even neighbour";
  EXPECT_EQ(to_bf16(1.0f + 0x1p-8f + 0x1p-20f), 0x3F81);
  EXPECT_EQ(to_bf16(std::numeric_limits<float>::infinity()), 0x7F80);
  EXPECT_EQ(to_bf16(std::numeric_limits<float>::max()), 0x7F80);
  EXPECT_EQ(to_bf16(0x1p-149f), 0);
  for (const std::uint32_t bits : {0x7FC00000u, 0x7F800001u, 0xFFFFFFFFu}) {
    EXPECT_TRUE(std::isnan(from_bf16(to_bf16(std::bit_cast<float>(bits))))) << bits;
  }
}

TEST(Bfloat16, EveryValueStaysAndOthersGoToTheNearest) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = from_bf16(static_cast<std::uint16_t>(bits));
    if (std::isnan(value)) continue;
    EXPECT_EQ(to_bf16(value), bits);
  }
  EXPECT_TRUE(rc::check("no neighbour is nearer", [](std::uint32_t bits) {
    const auto value = std::bit_cast<float>(bits);
    RC_PRE(std::isfinite(value) && std::abs(value) < 3e38f);
    const std::uint16_t rounded = to_bf16(value);
    const double distance = std::abs(double{value} - from_bf16(rounded));
    for (const int step : {-1, 1}) {
      const float neighbour = from_bf16(static_cast<std::uint16_t>(rounded + step));
      if (!std::isfinite(neighbour)) continue;
      const double other = std::abs(double{value} - neighbour);
      RC_ASSERT(distance <= other && (distance < other || rounded % 2 == 0));
    }
  }));
}

TEST(Convert, ToBfloat16AndBack) {
  const TemporaryFolder folder;
  const Path from = test::write_sample_checkpoint(folder / "from");
  const Conversion done = convert_checkpoint(from, folder / "half", {.dtype = DType::bf16});
  EXPECT_EQ(done.bytes_after * 2, done.bytes_before);
  EXPECT_THAT(done.weight_files, ElementsAre("model.safetensors"));
  EXPECT_THAT(done.left_out, ElementsAre("optimizer.safetensors", "state.json"));
  EXPECT_THAT(test::files_under(folder / "half"),
              ElementsAre("config.json", "manifest.json", "model.safetensors", "tokenizer/tokenizer.json",
                          "tokenizer/tokenizer.model"));
  auto expected = test::weights_of(from);
  for (auto& [name, values] : expected) {
    for (float& value : values) value = from_bf16(to_bf16(value));
  }
  EXPECT_EQ(test::weights_of(folder / "half"), expected);
  EXPECT_EQ(Checkpoint(folder / "half").weights().at("norm.weight").dtype, DType::bf16);
  convert_checkpoint(folder / "half", folder / "again", {.dtype = DType::f32});
  EXPECT_EQ(test::weights_of(folder / "again"), expected);
  EXPECT_EQ(Checkpoint(folder / "again").weights().at("norm.weight").dtype, DType::f32);
}

TEST(Convert, ToSeveralFilesAndBack) {
  const TemporaryFolder folder;
  const Path from = test::write_sample_checkpoint(folder / "from");
  const Conversion done =
      convert_checkpoint(from, folder / "shards", {.dtype = {}, .most_shard_bytes = 1500});
  ASSERT_GT(done.weight_files.size(), 2u);
  EXPECT_EQ(done.weight_files.front(), shard_name(0, done.weight_files.size()));
  std::uint64_t total = 0;
  for (const std::string& name : done.weight_files) {
    const SafetensorsFile file(folder.path() / "shards" / name);
    std::uint64_t bytes = 0;
    for (const auto& [tensor, view] : file.tensors()) bytes += view.bytes.size();
    EXPECT_TRUE(bytes <= 1500 || file.tensors().size() == 1) << name << ": " << bytes;
    total += bytes;
  }
  const auto index = nlohmann::json::parse(read_file(folder / "shards/model.safetensors.index.json"));
  EXPECT_EQ(index["metadata"]["total_size"], total);
  EXPECT_EQ(index["weight_map"].size(), test::weights_of(from).size());
  EXPECT_EQ(index["weight_map"]["embedding.weight"], done.weight_files.front());

  EXPECT_EQ(test::weights_of(folder / "shards"), test::weights_of(from));
  const std::vector<Token> tokens = {1, 2, 3, 4, 5};
  Session one = Model::load(from, 1)->session(), several = Model::load(folder / "shards", 1)->session();
  EXPECT_EQ(one.forward(tokens), several.forward(tokens));

  convert_checkpoint(folder / "shards", folder / "joined", {});
  EXPECT_EQ(test::weights_of(folder / "joined"), test::weights_of(from));
  EXPECT_FALSE(std::filesystem::exists(folder / "joined/model.safetensors.index.json"));
}

TEST(Convert, RefusesWhatItCannotDo) {
  const TemporaryFolder folder;
  const Path from = test::write_sample_checkpoint(folder / "from");
  EXPECT_THAT(error_of([&] { convert_checkpoint(from, from, {}); }), HasSubstr("expected a new folder"));
  EXPECT_THAT(error_of([&] { convert_checkpoint(from, folder / "a", {.dtype = DType::i32}); }),
              HasSubstr("expected float32, bfloat16 or int8"));
  EXPECT_THAT(error_of([&] { convert_checkpoint(folder / "none", folder / "a", {}); }),
              HasSubstr("no such folder"));
  EXPECT_THAT(folder.names(), ElementsAre("from")) << "nothing is left behind";
}

TEST(WeightsIndex, IsStrict) {
  const auto message = [](const std::string& map) {
    return error_of([&] { parse_weights_index("{\"weight_map\": " + map + "}", "i"); });
  };
  EXPECT_EQ(message(R"({"a": "x.safetensors", "b": "x.safetensors"})"), "");
  EXPECT_THAT(message("[]"), HasSubstr("expected an object \"weight_map\""));
  EXPECT_THAT(message("{}"), HasSubstr("no tensors"));
  EXPECT_THAT(message(R"({"a": 1})"), HasSubstr("expected a file name for 'a'"));
  for (const std::string name :
       {"../x.safetensors", "/x.safetensors", "x.bin", ".safetensors", "a\\u0000.safetensors"}) {
    EXPECT_THAT(message("{\"a\": \"" + name + "\"}"), HasSubstr("a .safetensors file beside it")) << name;
  }
}

TEST(WeightsIndex, MustAgreeWithItsFiles) {
  const TemporaryFolder folder;
  const Path from = test::write_sample_checkpoint(folder / "from");
  convert_checkpoint(from, folder / "shards", {.dtype = {}, .most_shard_bytes = 1500});
  const Path path = folder / "shards" / weights_index_name;
  const std::string text = read_file(path);
  const auto message = [&](const std::string& changed) {
    write_file(path, changed);
    write_manifest(folder / "shards");
    return error_of([&] { (void)Checkpoint(folder / "shards").weights(); });
  };
  EXPECT_EQ(message(text), "");
  std::string changed = text;
  changed.replace(changed.find("\"embedding.weight"), 1, "\"x");
  EXPECT_THAT(message(changed), HasSubstr("is not listed there"));
  changed = text;
  changed.replace(changed.rfind("\"model-0"), 8, "\"model-7");
  EXPECT_THAT(message(changed), HasSubstr("is not in its manifest"));
  write_file(folder / "shards" / weights_name, read_file(from / weights_name));
  EXPECT_THAT(message(text), HasSubstr("got both"));
}

}  // namespace
}  // namespace ecp
