#include "ecp/weights/quantized.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "ecp/weights/convert.h"
#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"
#include "tests/weights/sample_checkpoint.h"

namespace ecp {
namespace {

using test::error_of;
using test::TemporaryFolder;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<float> there_and_back(const std::vector<float>& values, std::int64_t in) {
  const QuantizedValues stored = quantized(values, in, "w");
  const std::vector<std::int64_t> shape = {static_cast<std::int64_t>(values.size()) / in, in};
  return dequantized({DType::i8, shape, std::as_bytes(std::span(stored.numbers))},
                     {DType::f32, scale_shape(shape), std::as_bytes(std::span(stored.scales))});
}

TEST(Quantized, IsOffByHalfAStepOfItsGroupAtMost) {
  EXPECT_TRUE(rc::check("any matrix", [] {
    const auto rows = *rc::gen::inRange<std::int64_t>(1, 5), in = *rc::gen::inRange<std::int64_t>(1, 200);
    const auto seed = *rc::gen::arbitrary<std::uint64_t>();
    const double scale = std::pow(10.0, *rc::gen::inRange(-30, 30));
    std::vector<float> values;
    for (std::int64_t i = 0; i < rows * in; ++i) {
      values.push_back(
          static_cast<float>(scale * (random_uniform(seed, static_cast<std::uint64_t>(i)) - 0.5)));
    }
    const auto got = there_and_back(values, in);
    for (std::int64_t i = 0; i < rows * in; ++i) {
      const std::int64_t row = i / in * in, first = row + (i - row) / 64 * 64;
      float largest = 0;
      for (std::int64_t j = first; j < std::min(row + in, first + 64); ++j) {
        largest = std::max(largest, std::abs(values[static_cast<std::size_t>(j)]));
      }
      const auto at = static_cast<std::size_t>(i);
      RC_ASSERT(std::abs(got[at] - values[at]) <= largest / 127 * 0.5001f);
    }
  }));
}

TEST(Quantized, KeepsItsLargestValuesSignsAndZeros) {
  EXPECT_THAT(there_and_back({0, 0, 0}, 3), ElementsAre(0, 0, 0));
  EXPECT_THAT(there_and_back({-127, 127, 1, 0}, 2), ElementsAre(-127, 127, 1, 0));
  for (const float value : there_and_back({1e-44f, -1e-44f}, 2)) EXPECT_LE(std::abs(value), 1e-44f);
  const float most = std::numeric_limits<float>::max();
  EXPECT_NEAR(there_and_back({most}, 1)[0] / most, 1, 1e-6);
}

TEST(Quantized, RefusesWhatIsNotFinite) {
  EXPECT_EQ(error_of([] {
              quantized(std::vector<float>{1, NAN}, 2, "w");
            }),
            "w: expected finite values, got nan");
  EXPECT_THAT(error_of([] { quantized(std::vector<float>{INFINITY}, 1, "w"); }), HasSubstr("inf"));
}

TEST(Quantized, CheckpointsAreWrittenReadAndWidened) {
  const TemporaryFolder folder;
  const Path from = test::write_sample_checkpoint(folder / "from");
  const Conversion done = convert_checkpoint(from, folder / "int8", {.dtype = DType::i8});
  EXPECT_LT(done.bytes_after, done.bytes_before);
  const TensorSet before = Checkpoint(from).weights(), after = Checkpoint(folder / "int8").weights();
  EXPECT_EQ(after.at("norm.weight").dtype, DType::f32);
  EXPECT_EQ(after.at("embedding.weight").dtype, DType::i8);
  EXPECT_THAT(after.at("embedding.weight_scale").shape, ElementsAre(test::small_model().vocab, 1));
  for (const auto& [name, view] : before.tensors()) {
    const auto wanted =
        view.shape.size() == 2 ? there_and_back(view.to_float(), view.shape[1]) : view.to_float();
    EXPECT_EQ(float_values(after, name), wanted) << name;
  }
  // Several files, other types, and the same again.
  const Conversion parts =
      convert_checkpoint(folder / "int8", folder / "parts", {.dtype = {}, .most_shard_bytes = 500});
  EXPECT_GT(parts.weight_files.size(), 2u);
  EXPECT_EQ(parts.bytes_before, done.bytes_after);
  EXPECT_EQ(parts.bytes_after, done.bytes_after);
  convert_checkpoint(folder / "parts", folder / "again", {.dtype = DType::i8});
  convert_checkpoint(folder / "parts", folder / "wide", {.dtype = DType::f32});
  const TensorSet again = Checkpoint(folder / "again").weights(),
                  wide = Checkpoint(folder / "wide").weights();
  for (const auto& [name, view] : before.tensors()) {
    EXPECT_EQ(float_values(again, name), float_values(after, name)) << name;
    EXPECT_EQ(wide.at(name).dtype, DType::f32);
    EXPECT_EQ(wide.at(name).to_float(), float_values(after, name)) << name;
  }
}

TEST(Quantized, MatricesNeedTheirScales) {
  const ModelConfig config = test::small_model();
  const auto message = [&](const std::string& change) {
    const TemporaryFolder folder;
    std::vector<NamedTensor> tensors;
    std::vector<std::vector<float>> scales;
    std::vector<std::vector<std::byte>> numbers;
    for (const Parameter& parameter : parameters(config)) {
      const auto elements = static_cast<std::size_t>(parameter.elements());
      const bool matrix = parameter.shape.size() == 2;
      const bool bytes = matrix || (change == "vector" && parameter.name == "norm.weight");
      numbers.emplace_back(elements * (bytes ? 1 : 4));
      tensors.push_back({parameter.name, {bytes ? DType::i8 : DType::f32, parameter.shape, numbers.back()}});
      const bool first = parameter.name == "embedding.weight";
      if (!matrix || (first && change == "none")) continue;
      auto shape = scale_shape(parameter.shape);
      if (first && change == "shape") shape[1] += 1;
      scales.emplace_back(static_cast<std::size_t>(shape[0] * shape[1]));
      const bool wrong_type = first && change == "type";
      tensors.push_back(
          {scale_name(parameter.name),
           {wrong_type ? DType::i32 : DType::f32, shape, std::as_bytes(std::span(scales.back()))}});
    }
    write_safetensors(folder / "w.safetensors", tensors);
    return error_of([&] { check_weights(SafetensorsFile(folder / "w.safetensors"), config); });
  };
  EXPECT_EQ(message(""), "");
  EXPECT_THAT(message("none"), HasSubstr("'embedding.weight_scale'"));
  EXPECT_THAT(message("shape"), HasSubstr("'embedding.weight_scale': expected shape [280, 1], got [280, 2]"));
  EXPECT_THAT(message("type"), HasSubstr("'embedding.weight_scale': expected F32, got I32"));
  EXPECT_THAT(message("vector"), HasSubstr("'norm.weight': expected a floating-point dtype, got I8"));
}

}  // namespace
}  // namespace ecp
