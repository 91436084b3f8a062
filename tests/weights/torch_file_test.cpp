#include "ecp/weights/torch_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ecp/base/error.h"
#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/torch_writer.h"

namespace ecp {
namespace {

using test::little;
using test::torch_file;
using testing::ElementsAre;
using testing::HasSubstr;
namespace p = test::pickle;

TorchFile read(const std::string& bytes) { return {std::as_bytes(std::span(bytes)), "x.pt"}; }

std::string message_of(const std::string& bytes) {
  return test::error_of([&] { read(bytes); });
}

std::string floats(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

const std::string six = floats({0, 1, 2, 3, 4, 5});
const std::string six_id = p::storage("FloatStorage", "0", 6);

/// A state_dict of one tensor "w" over the storage `six`.
std::string one(const std::string& tensor) { return torch_file(p::dict({{"w", tensor}}), {{"0", six}}); }

std::vector<float> values_of(const std::string& tensor) {
  const std::string file = one(tensor);
  return read(file).tensors().at("w").to_float();
}

TEST(TorchFile, ReadsTensorsWithoutCopying) {
  const std::string file = one(p::tensor(six_id, 0, {2, 3}, {3, 1}));
  const TorchFile torch = read(file);
  const TensorView& w = torch.tensors().at("w");
  EXPECT_THAT(w.shape, ElementsAre(2, 3));
  EXPECT_EQ(w.dtype, DType::f32);
  EXPECT_THAT(w.to_float(), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_EQ(reinterpret_cast<const char*>(w.bytes.data()), file.data() + file.find(six));
}

TEST(TorchFile, ViewsAreFollowed) {
  EXPECT_THAT(values_of(p::tensor(six_id, 2, {2}, {1})), ElementsAre(2, 3));
  EXPECT_THAT(values_of(p::tensor(six_id, 5, {}, {})), ElementsAre(5)) << "a scalar";
  EXPECT_THAT(values_of(p::tensor(six_id, 0, {3, 2}, {1, 3})), ElementsAre(0, 3, 1, 4, 2, 5)) << "transposed";
  EXPECT_THAT(values_of(p::tensor(six_id, 1, {2, 1, 2}, {3, 77, 1})), ElementsAre(1, 2, 4, 5)) << "columns";
  EXPECT_THAT(values_of(p::tensor(six_id, 3, {1, 2}, {99, 1})), ElementsAre(3, 4))
      << "a stride that is never taken";
  EXPECT_THAT(values_of(p::tensor(six_id, 4, {3}, {0})), ElementsAre(4, 4, 4)) << "expanded";
  EXPECT_THAT(values_of(p::tensor(six_id, 0, {0, 3}, {3, 1})), ElementsAre());
  EXPECT_THAT(values_of(p::call(p::global("torch._utils", "_rebuild_parameter"),
                                {p::tensor(six_id, 4, {2}, {1}), "\x88",
                                 p::call(p::global("collections", "OrderedDict"), {})})),
              ElementsAre(4, 5));
}

TEST(TorchFile, ReadsEveryTypeOfStorage) {
  const std::vector<std::pair<const char*, DType>> types = {
      {"FloatStorage", DType::f32},     {"DoubleStorage", DType::f64}, {"HalfStorage", DType::f16},
      {"BFloat16Storage", DType::bf16}, {"LongStorage", DType::i64},   {"IntStorage", DType::i32},
      {"ShortStorage", DType::i16},     {"CharStorage", DType::i8},    {"ByteStorage", DType::u8},
      {"BoolStorage", DType::boolean}};
  for (const auto& [name, dtype] : types) {
    const std::string data(3 * size_of(dtype), '\x3f');
    const std::string file =
        torch_file(p::dict({{"w", p::tensor(p::storage(name, "0", 3), 1, {2}, {1})}}), {{"0", data}});
    const TorchFile torch = read(file);
    EXPECT_EQ(torch.tensors().at("w").dtype, dtype) << name;
    EXPECT_EQ(torch.tensors().at("w").bytes.size(), 2 * size_of(dtype));
  }
  EXPECT_THAT(message_of(one(p::tensor(p::storage("ComplexFloatStorage", "0", 3), 0, {3}, {1}))),
              HasSubstr("'torch.ComplexFloatStorage', refused"));
}

TEST(TorchFile, FindsTheStateDict) {
  const std::string w = p::tensor(six_id, 0, {6}, {1}), number = p::integer(3);
  const std::string dict = p::dict({{"w", w}}), optimizer = p::dict({{"state", p::dict({{"exp_avg", w}})}});
  for (const char* name : {"model", "state_dict", "model_state_dict", "net", "network", "module"}) {
    const std::string file = torch_file(
        p::dict({{"epoch", number}, {"optimizer", optimizer}, {name, dict}, {"loss", w}}), {{"0", six}});
    const TorchFile torch = read(file);
    EXPECT_EQ(torch.tensors().size(), 1u) << name;
    EXPECT_TRUE(torch.tensors().contains("w")) << name;
  }
  const std::string bare = torch_file(p::dict({{"w", w}, {"epoch", number}}), {{"0", six}});
  EXPECT_EQ(read(bare).tensors().size(), 1u);
  const auto message = [&](const std::string& value) { return message_of(torch_file(value, {{"0", six}})); };
  EXPECT_THAT(message(p::dict({{"epoch", number}, {"weights", dict}})),
              HasSubstr("x.pt: expected a state_dict, or a dict with one under model_state_dict, state_dict, "
                        "model, net, network, "
                        "module; it has 'epoch', 'weights'"));
  EXPECT_THAT(message("}"), HasSubstr("it has nothing"));
  EXPECT_THAT(message(w), HasSubstr("expected a state_dict, got a call"));
  EXPECT_THAT(message(p::list({w})), HasSubstr("expected a state_dict, got a list"));
}

TEST(TorchFile, PrefixesOfWrappersAreTakenOff) {
  const std::string w = p::tensor(six_id, 0, {6}, {1});
  const auto names = [&](const std::vector<std::string>& given) {
    std::vector<std::pair<std::string, std::string>> items;
    for (const std::string& name : given) items.emplace_back(name, w);
    const std::string file = torch_file(p::dict(items), {{"0", six}});
    std::vector<std::string> found;
    const TorchFile torch = read(file);
    for (const auto& [name, view] : torch.tensors()) found.push_back(name);
    return found;
  };
  EXPECT_THAT(names({"module.a.weight", "module.b.net.weight"}), ElementsAre("a.weight", "b.net.weight"));
  EXPECT_THAT(names({"_orig_mod.module.net.a", "model.b"}), ElementsAre("a", "b"));
  EXPECT_THAT(test::error_of([&] { names({"model.a", "a"}); }), HasSubstr("two tensors named 'a'"));
  EXPECT_THAT(test::error_of([&] { names({std::string(5000, 'a')}); }),
              HasSubstr("names of at most 1000 bytes"));
}

TEST(TorchFile, TensorsBeyondTheirStorageAreRefused) {
  constexpr std::int64_t huge = INT64_MAX;
  const auto message = [&](std::int64_t offset, const std::vector<std::int64_t>& shape,
                           const std::vector<std::int64_t>& strides) {
    return message_of(one(p::tensor(six_id, offset, shape, strides)));
  };
  EXPECT_THAT(
      message(0, {7}, {1}),
      HasSubstr(
          "x.pt: tensor 'w' of shape [7], strides [1] and offset 0 reaches beyond its storage's 6 elements"));
  for (const std::string& wrong :
       {message(1, {2, 3}, {3, 1}), message(6, {}, {}), message(0, {2}, {6}), message(huge, {1}, {1}),
        message(0, {huge}, {huge}), message(huge, {huge, huge}, {huge, huge}),
        message(0, {2, 2}, {huge, huge}), message(0, {huge, huge, huge}, {0, 0, 0})}) {
    EXPECT_THAT(wrong, HasSubstr("reaches beyond its storage's 6 elements"));
  }
  EXPECT_THAT(message(0, {huge}, {0}), HasSubstr("repeats its elements: too large"));
  EXPECT_THAT(message(0, {100000}, {0}), HasSubstr("repeats its elements: too large"));
  EXPECT_THAT(message(-1, {1}, {1}), HasSubstr("whole numbers from 0 on"));
  EXPECT_THAT(message(0, {-1}, {1}), HasSubstr("whole numbers from 0 on"));
  EXPECT_THAT(message(0, {2}, {-1}), HasSubstr("whole numbers from 0 on"));
  EXPECT_THAT(message(0, {2, 3}, {1}), HasSubstr("has 2 extents and 1 strides"));
  EXPECT_THAT(message(0, std::vector<std::int64_t>(65, 1), std::vector<std::int64_t>(65, 1)),
              HasSubstr("has 65 extents"));
}

TEST(TorchFile, ManyViewsOfOneStorageCannotFillTheMemory) {
  // Each is a transposed copy of the same megabyte.
  const std::string data(1 << 20, '\1');
  std::vector<std::pair<std::string, std::string>> items;
  for (int i = 0; i < 100; ++i) {
    items.emplace_back(std::to_string(i),
                       p::tensor(p::storage("FloatStorage", "0", 1 << 18), 0, {512, 512}, {1, 512}));
  }
  EXPECT_THAT(message_of(torch_file(p::dict(items), {{"0", data}})),
              HasSubstr("repeats its elements: too large"));
}

TEST(TorchFile, WrongStoragesAreRefused) {
  const auto message = [&](const std::string& storage) {
    return message_of(one(p::tensor(storage, 0, {1}, {1})));
  };
  EXPECT_THAT(message(p::storage("FloatStorage", "0", 5)),
              HasSubstr("storage '0' has 24 bytes, its tensors say 20"));
  EXPECT_THAT(message(p::storage("LongStorage", "0", 6)),
              HasSubstr("storage '0' has 24 bytes, its tensors say 48"));
  EXPECT_THAT(message(p::storage("FloatStorage", "9", 6)), HasSubstr("no entry 'archive/data/9'"));
  EXPECT_THAT(message(p::storage("FloatStorage", "0", -1)), HasSubstr("claims -1 elements"));
  EXPECT_THAT(message(p::storage("FloatStorage", "0", INT64_MAX)),
              HasSubstr("claims 9223372036854775807 elements"));
  EXPECT_THAT(message(p::text("0") + "Q"), HasSubstr("expected a storage's type, key, device"));
  EXPECT_THAT(message(p::tuple({p::text("module"), p::global("torch", "FloatStorage"), p::text("0"),
                                p::text("cpu"), p::integer(6)}) +
                      "Q"),
              HasSubstr("expected a storage's type, key, device"));
  EXPECT_THAT(message(p::tuple({p::text("storage"), p::global("_codecs", "encode"), p::text("0"),
                                p::text("cpu"), p::integer(6)}) +
                      "Q"),
              HasSubstr("'_codecs.encode' is not a type of storage"));
  EXPECT_THAT(message("N"), HasSubstr("tensor 'w': expected a storage, an offset, a shape and strides"));
  EXPECT_THAT(message_of(one(p::call(p::global("torch._utils", "_rebuild_tensor_v2"), {}))),
              HasSubstr("expected a storage, an offset"));
  EXPECT_THAT(message_of(one(p::call(p::global("torch._utils", "_rebuild_parameter"), {}))),
              HasSubstr("expected a storage, an offset"));
  EXPECT_THAT(message_of(one(p::call(p::global("torch._utils", "_rebuild_tensor_v2"),
                                     {six_id, p::integer(0), p::integers({6}), p::integers({1}), "\x89", "}",
                                      p::dict({{"neg", "\x88"}})}))),
              HasSubstr("tensor 'w' has metadata"));
}

TEST(TorchFile, WhatIsNotACheckpointIsSaid) {
  EXPECT_THAT(message_of(""), HasSubstr("x.pt: expected NAME.safetensors or a file of torch.save"));
  EXPECT_THAT(message_of("hello"), HasSubstr("x.pt: expected NAME.safetensors or a file of torch.save"));
  const std::string program = p::whole("N");
  EXPECT_THAT(message_of(test::zip_of({{"a/b.txt", "hello"}})), HasSubstr("no data.pkl is in the archive"));
  EXPECT_THAT(message_of(test::zip_of({{"a/data.pkl", program}, {"b/data.pkl", program}})),
              HasSubstr("expected one data.pkl"));
  EXPECT_THAT(message_of(test::zip_of({{"a/data.pkl", program}, {"a/constants.pkl", program}})),
              HasSubstr("it is a TorchScript program"));
  EXPECT_THAT(message_of(test::zip_of({{"a/data.pkl", program}, {"a/byteorder", "big"}})),
              HasSubstr("its byte order is 'big'"));
  EXPECT_THAT(message_of(test::zip_of({{"a/data.pkl", program}})),
              HasSubstr("expected a state_dict, got a None"));
  EXPECT_THAT(message_of(p::whole(p::dict({{"w", p::integer(1)}}))),
              HasSubstr("it is a pickle, but not of torch.save"));
  const test::TemporaryFolder folder;
  EXPECT_THAT(test::error_of([&] { TorchFile(folder / "none.pt"); }), HasSubstr("none.pt"));
}

TEST(TorchFile, CallsOfAnythingElseAreRefusedByName) {
  const std::string evil = p::call(p::global("posix", "system"), {p::text("touch /tmp/owned")});
  EXPECT_THAT(message_of(torch_file(p::dict({{"w", evil}}), {})),
              HasSubstr("x.pt: archive/data.pkl: it asks for 'posix.system', refused"));
  // Hidden where nothing would look at it.
  const std::string w = p::tensor(six_id, 0, {6}, {1});
  EXPECT_THAT(
      message_of(torch_file(p::dict({{"model", p::dict({{"w", w}})}, {"extra", evil}}), {{"0", six}})),
      HasSubstr("'posix.system', refused"));
}

/// The form of before torch 1.6, with `list` as its list of storages and `data` after it.
std::string legacy(const std::string& value, const std::string& list, const std::string& data,
                   const std::string& version = "M\xe9\3", const std::string& little_endian = "\x88") {
  return p::whole("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19") + p::whole(version) +
         p::whole(p::dict({{"little_endian", little_endian}})) + p::whole(value) + p::whole(list) + data;
}

TEST(TorchFile, ReadsTheLegacyForm) {
  const std::string id = p::tuple({p::text("storage"), p::global("torch", "FloatStorage"), p::text("497"),
                                   p::text("cpu"), p::integer(6), "N"}) +
                         "Q";
  const std::string value = p::dict({{"w", p::tensor(id, 3, {3}, {1})}, {"v", p::tensor(id, 0, {1}, {1})}});
  const std::string list = p::list({p::text("497")}), data = little<std::int64_t>(6) + six;
  const std::string file = legacy(value, list, data);
  const TorchFile torch = read(file);
  EXPECT_THAT(torch.tensors().at("w").to_float(), ElementsAre(3, 4, 5));
  EXPECT_THAT(torch.tensors().at("v").to_float(), ElementsAre(0));
  for (std::size_t size = 0; size < file.size(); ++size)
    EXPECT_NE(message_of(file.substr(0, size)), "") << size;

  EXPECT_THAT(message_of(legacy(value, list, data + "x")), HasSubstr("1 bytes follow the last storage"));
  EXPECT_THAT(message_of(legacy(value, list, data.substr(1))),
              HasSubstr("storage '497' of 24 bytes is cut off"));
  EXPECT_THAT(message_of(legacy(value, list, little<std::int64_t>(5) + six)),
              HasSubstr("expected 6 elements, it has 5"));
  EXPECT_THAT(message_of(legacy(value, p::list({}), "")), HasSubstr("storage '497' is not in the file"));
  EXPECT_THAT(message_of(legacy(value, p::list({p::text("1")}), data)),
              HasSubstr("storage '1' belongs to no tensor"));
  EXPECT_THAT(message_of(legacy(value, p::list({p::integer(1)}), data)), HasSubstr("belongs to no tensor"));
  EXPECT_THAT(message_of(legacy(value, p::list({p::text("497"), p::text("497")}), data + data)),
              HasSubstr("is listed twice"));
  EXPECT_THAT(message_of(legacy(value, "}", data)), HasSubstr("expected a list of storages, got a dict"));
  EXPECT_THAT(message_of(legacy(value, list, data, "M\xe8\3")), HasSubstr("legacy form is not known"));
  EXPECT_THAT(message_of(legacy(value, list, data, "M\xe9\3", "\x89")),
              HasSubstr("its byte order is not little"));
  const std::string other = p::storage("LongStorage", "497", 6);
  EXPECT_THAT(message_of(legacy(p::list({id, other}), list, data)),
              HasSubstr("storage '497' has two types or sizes"));
}

}  // namespace
}  // namespace ecp
