#include "ecp/weights/zip_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "ecp/base/error.h"
#include "tests/support/errors.h"
#include "tests/support/torch_writer.h"

namespace ecp {
namespace {

using test::error_of;
using test::little;
using test::zip_of;
using testing::HasSubstr;

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

std::string read(const std::string& file, const std::string& entry) {
  const auto bytes = ZipFile(bytes_of(file), "x").read(entry);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string message_of(const std::string& file) {
  return error_of([&] {
    const ZipFile zip(bytes_of(file), "x");
    for (const auto& [name, entry] : zip.entries()) (void)zip.read(name);
  });
}

/// `file` with `bytes` written over what stands `at`.
std::string patched(std::string file, std::size_t at, const std::string& bytes) {
  return file.replace(at, bytes.size(), bytes);
}

RC_GTEST_PROP(ZipFile, ReadsWhatWasStored,
              (const std::vector<std::string>& contents, bool zip64, bool checksums)) {
  std::vector<std::pair<std::string, std::string>> entries;
  for (const std::string& content : contents)
    entries.emplace_back("a/" + std::to_string(entries.size()), content);
  const std::string file = zip_of(entries, {.zip64 = zip64, .checksums = checksums});
  const ZipFile zip(bytes_of(file), "x");
  RC_ASSERT(zip.entries().size() == entries.size());
  for (const auto& [name, content] : entries) RC_ASSERT(read(file, name) == content);
}

TEST(ZipFile, DataIsNotCopied) {
  const std::string file = zip_of({{"a", "first"}, {"b", std::string(100, 'b')}});
  const ZipFile zip(bytes_of(file), "x");
  EXPECT_EQ(zip.read("b").data(), bytes_of(file).data() + file.find("bbbb"));
  EXPECT_EQ(file.find("bbbb") % 64, 0u);
  EXPECT_THAT(error_of([&] { (void)zip.read("c"); }), HasSubstr("x: no entry 'c' in the archive"));
}

TEST(ZipFile, EveryCutIsRefused) {
  for (const bool zip64 : {false, true}) {
    const std::string file = zip_of({{"a", "first"}, {"b", "second"}}, {.zip64 = zip64});
    EXPECT_EQ(message_of(file), "");
    for (std::size_t size = 0; size < file.size(); ++size) {
      EXPECT_THAT(message_of(file.substr(0, size)), HasSubstr("no directory at its end")) << size;
    }
    EXPECT_EQ(message_of(file.substr(0, file.size() - 2) + little<std::uint16_t>(5) + "hello"), "")
        << "a comment";
  }
}

TEST(ZipFile, NoFlippedBitGoesUnnoticedInData) {
  const std::string file = zip_of({{"a", "first"}, {"b", "second"}});
  for (const std::string content : {"first", "second"}) {
    const std::size_t at = file.find(content);
    for (std::size_t bit = at * 8; bit < (at + content.size()) * 8; ++bit) {
      std::string flipped = file;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
      EXPECT_THAT(message_of(flipped), HasSubstr("is damaged: its checksum differs"));
    }
  }
}

TEST(ZipFile, FlippedBitsElsewhereNeverReachOutside) {
  for (const bool zip64 : {false, true}) {
    const std::string file = zip_of({{"a", "first"}, {"b", "second"}}, {.zip64 = zip64});
    for (std::size_t bit = 0; bit < file.size() * 8; ++bit) {
      std::string flipped = file;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
      EXPECT_EQ(message_of(flipped).find('\n'), std::string::npos) << "bit " << bit;
    }
  }
}

TEST(ZipFile, WrongPlacesAreRefused) {
  const std::string file = zip_of({{"a", "first"}, {"b", "second"}});
  const std::size_t directory = file.find("PK\1\2"), second = file.find("PK\1\2", directory + 1);
  const std::string offset = file.substr(second + 42, 4);
  const auto message = [&](std::size_t at, const std::string& bytes) {
    return message_of(patched(file, at, bytes));
  };
  EXPECT_THAT(message(directory + 42, offset), HasSubstr("entry 'a' is another one by its own header"));
  EXPECT_THAT(message(second + 42, little<std::uint32_t>(1)),
              HasSubstr("entry 'b' does not begin at byte 1"));
  EXPECT_THAT(message(second + 42, little<std::uint32_t>(0xfffffff0)), HasSubstr("reaches beyond"));
  EXPECT_THAT(message(second + 20, little<std::uint32_t>(7)), HasSubstr("has 6 bytes stored as 7"));
  const auto sizes = [](std::uint32_t size) { return little(size) + little(size); };
  EXPECT_THAT(message(directory + 20, sizes(30)), HasSubstr("entries 'a' and 'b' overlap"));
  EXPECT_THAT(message(second + 20, sizes(0xfffffff0)), HasSubstr("reaches beyond"));
  EXPECT_THAT(message(directory + 10, little<std::uint16_t>(8)),
              HasSubstr("entry 'a' is another one by its own header"));
  const std::string compressed =
      patched(patched(file, 8, little<std::uint16_t>(8)), directory + 10, little<std::uint16_t>(8));
  EXPECT_THAT(message_of(compressed), HasSubstr("entry 'a' is compressed (method 8)"));
  EXPECT_EQ(read(compressed, "b"), "second");
  EXPECT_THAT(message(directory + 8, little<std::uint16_t>(1)), HasSubstr("entry 'a' is encrypted"));
  EXPECT_THAT(message(directory, "PK\1\3"), HasSubstr("its zip directory is damaged"));
  const std::size_t end = file.size() - 22;
  EXPECT_THAT(message(end + 4, little<std::uint16_t>(1)), HasSubstr("several disks"));
  EXPECT_THAT(message(end + 12, little<std::uint32_t>(0xfffffff0)), HasSubstr("claims 4294967280 bytes"));
  EXPECT_THAT(message(end + 8, little<std::uint16_t>(900) + little<std::uint16_t>(900)),
              HasSubstr("claims 900 entries"));
  EXPECT_THAT(message(end + 8, little<std::uint16_t>(1) + little<std::uint16_t>(1)),
              HasSubstr("bytes more than"));
  EXPECT_THAT(message_of(zip_of({{"a", "x"}, {"a", "y"}})), HasSubstr("two entries named 'a'"));
}

TEST(ZipFile, WrongNumbersOf64BitsAreRefused) {
  const std::string file = zip_of({{"a", "first"}, {"b", "second"}}, {.zip64 = true});
  const std::size_t directory = file.find("PK\1\2"), end = file.find("PK\6\6"), locator = file.find("PK\6\7");
  const std::string huge = little<std::uint64_t>(UINT64_MAX - 5);
  const auto message = [&](std::size_t at, const std::string& bytes) {
    return message_of(patched(file, at, bytes));
  };
  EXPECT_THAT(message(locator + 8, huge), HasSubstr("zip64 directory's end"));
  EXPECT_THAT(message(end + 24, huge + huge), HasSubstr("claims 18446744073709551610 entries"));
  EXPECT_THAT(message(end + 40, huge), HasSubstr("claims 18446744073709551610 bytes"));
  EXPECT_THAT(message(end + 48, huge), HasSubstr("from byte 18446744073709551610 on"));
  const std::size_t extra = directory + 46 + 1 + 4;
  EXPECT_THAT(message(extra, huge + huge), HasSubstr("reaches beyond"));
  EXPECT_THAT(message(extra + 16, huge), HasSubstr("reaches beyond"));
  EXPECT_THAT(message(extra - 2, little<std::uint16_t>(16)), HasSubstr("lacks a size or offset of 64 bits"));
}

}  // namespace
}  // namespace ecp
