#include "ecp/weights/safetensors.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <random>

#include "ecp/base/error.h"

namespace ecp {
namespace {

class Safetensors : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("ecp-safetensors-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  Path folder_;
};

template <class T>
TensorView view_of(DType dtype, std::vector<std::int64_t> shape, const std::vector<T>& values) {
  return {dtype, std::move(shape), std::as_bytes(std::span(values))};
}

std::string file_of(const std::string& header, std::size_t data_bytes) {
  std::string text(8, '\0');
  const std::uint64_t size = header.size();
  std::memcpy(text.data(), &size, 8);
  return text + header + std::string(data_bytes, '\0');
}

std::string message_of(const std::string& content) {
  try {
    const SafetensorsFile file(std::as_bytes(std::span(content)), "x");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST_F(Safetensors, WhatIsWrittenIsRead) {
  const std::vector<float> a = {1.5f, -2, 3, 4, 5, 6};
  const std::vector<std::int64_t> b = {-7, 1LL << 40};
  const std::vector<float> empty;
  const std::vector<NamedTensor> tensors = {{"a", view_of(DType::f32, {2, 3}, a)},
                                            {"b", view_of(DType::i64, {2}, b)},
                                            {"empty", view_of(DType::f32, {0, 4}, empty)}};
  const Path path = folder_ / "t.safetensors";
  write_safetensors(path, tensors, {{"who", "a \"test\""}});

  const SafetensorsFile file(path);
  EXPECT_EQ(file.tensors().size(), 3u);
  EXPECT_EQ(file.at("a").to_float(), a);
  EXPECT_EQ(file.at("a").shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(std::memcmp(file.at("b").bytes.data(), b.data(), 16), 0);
  EXPECT_EQ(file.at("empty").elements(), 0);
  EXPECT_EQ(file.metadata().at("who"), "a \"test\"");
  EXPECT_THROW(static_cast<void>(file.at("c")), Error);
  EXPECT_THROW(static_cast<void>(file.at("b").to_float()), Error);
}

TEST_F(Safetensors, HalfPrecisionBecomesFloat) {
  const std::vector<std::uint16_t> f16 = {0x3C00, 0xC000, 0x0001, 0x7C00, 0x0000, 0x03FF, 0x8001};
  const std::vector<std::uint16_t> bf16 = {0x3F80, 0xC000, 0x0080};
  EXPECT_EQ(view_of(DType::f16, {7}, f16).to_float(),
            (std::vector<float>{1, -2, 0x1p-24f, std::numeric_limits<float>::infinity(), 0, 1023 * 0x1p-24f,
                                -0x1p-24f}));
  EXPECT_EQ(view_of(DType::bf16, {3}, bf16).to_float(), (std::vector<float>{1, -2, 0x1p-126f}));
}

TEST_F(Safetensors, BadFilesAreRefusedWithOneLine) {
  const std::string good = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  EXPECT_EQ(message_of(file_of(good, 8)), "");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "0 bytes"},
      {std::string(8, '\xff'), "header claims"},
      {file_of(good, 8).substr(0, 20), "header claims"},
      {file_of(good, 7), "outside"},
      {file_of(good, 9), "expected 8 bytes of data, got 9"},
      {file_of("[]", 0), "not a JSON object"},
      {file_of("{", 0), "not a JSON object"},
      {file_of(R"({"a":3})", 0), "expected dtype"},
      {file_of(R"({"a":{"dtype":"F99","shape":[],"data_offsets":[0,4]}})", 4), "F99"},
      {file_of(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4), "bad extent"},
      {file_of(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0),
       "overflows"},
      {file_of(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8), "outside"},
      {file_of(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8), "expected 12 bytes"},
      {file_of(
           R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
           3),
       "overlap"},
      {file_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", 2), "gap"},
      {file_of(R"({"__metadata__":{"a":1}})", 0), "not a string"},
  };
  for (const auto& [content, expected] : cases) {
    const std::string message = message_of(content);
    EXPECT_NE(message.find(expected), std::string::npos)
        << "expected '" << expected << "' in '" << message << "'";
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

TEST_F(Safetensors, DamageNeverCrashes) {
  const std::vector<float> a(64, 1.0f);
  const std::vector<NamedTensor> tensors = {{"a", view_of(DType::f32, {8, 8}, a)},
                                            {"b", view_of(DType::f32, {64}, a)}};
  const Path path = folder_ / "t.safetensors";
  write_safetensors(path, tensors, {{"k", "v"}});
  const std::string whole = read_file(path);
  std::mt19937 random(1);
  for (int i = 0; i < 3000; ++i) {
    std::string damaged = whole.substr(0, i % 3 == 0 ? random() % whole.size() : whole.size());
    for (int flips = 0; flips < 1 + i % 4 && !damaged.empty(); ++flips) {
      damaged[random() % std::min<std::size_t>(damaged.size(), 200)] ^= static_cast<char>(1u << random() % 8);
    }
    try {
      const SafetensorsFile file(std::as_bytes(std::span(damaged)), "x");
      for (const auto& [name, view] : file.tensors()) {
        if (view.dtype != DType::f32) continue;
        EXPECT_LE(view.to_float().size(), damaged.size());
      }
    } catch (const Error&) {
    }
  }
}

TEST_F(Safetensors, TwoTensorsOfOneNameAreNotWritten) {
  const std::vector<float> a = {1};
  const std::vector<NamedTensor> tensors = {{"a", view_of(DType::f32, {1}, a)},
                                            {"a", view_of(DType::f32, {1}, a)}};
  EXPECT_THROW(write_safetensors(folder_ / "t.safetensors", tensors), Error);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "t.safetensors"));
}

}  // namespace
}  // namespace ecp
