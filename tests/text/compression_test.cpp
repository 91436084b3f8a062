#include "ecp/text/compression.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lzma.h>
#include <rapidcheck.h>
#include <zlib.h>
#include <zstd.h>

#include "ecp/base/error.h"
#include "ecp/base/system.h"
#include "tests/text/compressed.h"
#include "tests/text/text_samples.h"

namespace ecp {
namespace {

using ::ecp::test::compressed;
using ::ecp::test::error_of;
using ::ecp::test::sample_text;
using ::testing::HasSubstr;

const std::vector<Compression> kinds = {Compression::gzip, Compression::xz, Compression::zstd};

/// Gives `bytes` in parts of `step`.
ByteReader reader_of(std::string bytes, std::size_t step = 1 << 20) {
  return [bytes = std::move(bytes), step, at = std::size_t{0}](char* out, std::size_t count) mutable {
    const std::size_t part = bytes.copy(out, std::min(count, step), at);
    at += part;
    return part;
  };
}

std::string read_all(const ByteReader& reader, std::size_t block = 5000) {
  std::string all, buffer(block, '\0');
  while (const std::size_t got = reader(buffer.data(), buffer.size())) all.append(buffer, 0, got);
  EXPECT_EQ(reader(buffer.data(), buffer.size()), 0) << "the end stays the end";
  return all;
}

std::string read_as(Compression kind, const std::string& bytes) {
  return read_all(decompressed(kind, reader_of(bytes), "file"));
}

TEST(Compression, IsRecognisedByItsFirstBytes) {
  for (const Compression kind : kinds) EXPECT_EQ(compression_of(compressed(kind, "text")), kind);
  EXPECT_EQ(compression_of(""), Compression::none);
  EXPECT_EQ(compression_of("plain text"), Compression::none);
  EXPECT_EQ(compression_of("\x1F"), Compression::none);
  EXPECT_EQ(compression_of("\x53\x2A\x4D\x18"), Compression::zstd);
  EXPECT_EQ(compression_by_name("a/novel.txt.gz"), Compression::gzip);
  EXPECT_EQ(compression_by_name("wiki.tokens.xz"), Compression::xz);
  EXPECT_EQ(compression_by_name("x.jsonl.zst"), Compression::zstd);
  EXPECT_EQ(compression_by_name("gz"), Compression::none);
  EXPECT_EQ(without_compression("a/novel.txt.gz"), "a/novel.txt");
  EXPECT_EQ(without_compression("a/novel.txt"), "a/novel.txt");
}

TEST(Compression, GivesBackWhatWasCompressed) {
  EXPECT_TRUE(rc::check("members, blocks and buffers of any size", [] {
    const Compression kind = *rc::gen::elementOf(kinds);
    const auto parts = *rc::gen::container<std::vector<std::string>>(1 + *rc::gen::inRange<std::size_t>(0, 4),
                                                                     rc::gen::arbitrary<std::string>());
    std::string plain, stored;
    for (const std::string& part : parts) {
      plain += part;
      stored += compressed(kind, part);
    }
    const auto step = *rc::gen::inRange<std::size_t>(1, 40), block = *rc::gen::inRange<std::size_t>(1, 40);
    RC_ASSERT(read_all(decompressed(kind, reader_of(stored, step), "file"), block) == plain);
  }));
  const std::string large = sample_text(100000);
  for (const Compression kind : kinds) EXPECT_TRUE(read_as(kind, compressed(kind, large)) == large);
}

TEST(Compression, TakesPaddingAndFramesToSkip) {
  EXPECT_EQ(read_as(Compression::gzip, compressed(Compression::gzip, "text") + std::string(700, '\0')),
            "text");
  EXPECT_EQ(read_as(Compression::xz, compressed(Compression::xz, "text") + std::string(8, '\0')), "text");
  const std::string skipped("\x50\x2A\x4D\x18\x04\x00\x00\x00skip", 12);
  EXPECT_EQ(read_as(Compression::zstd, skipped + compressed(Compression::zstd, "text") + skipped), "text");
}

TEST(Compression, TruncatedDataIsRefusedWhereverItEnds) {
  for (const Compression kind : kinds) {
    const std::string stored = compressed(kind, sample_text(50));
    for (std::size_t size = 4; size < stored.size(); ++size) {
      const std::string message = error_of([&] { read_as(kind, stored.substr(0, size)); });
      ASSERT_EQ(message, fmt::format("'file': truncated {} data", name_of(kind))) << size;
    }
  }
}

TEST(Compression, DamageIsOneLine) {
  for (const Compression kind : kinds) {
    const std::string text = sample_text(50), stored = compressed(kind, text);
    for (std::size_t i = 0; i < stored.size(); ++i) {
      std::string damaged = stored;
      damaged[i] = static_cast<char>(damaged[i] ^ 0x41);
      std::string read;
      const std::string message = error_of([&] { read = read_as(kind, damaged); });
      if (message.empty()) {
        EXPECT_EQ(read, text) << "only what no checksum covers (gzip's name, time and system) may differ";
      } else {
        EXPECT_THAT(message, HasSubstr(fmt::format("{} data", name_of(kind))));
        EXPECT_EQ(message.find('\n'), std::string::npos);
      }
    }
    EXPECT_THAT(
        error_of([&] { read_as(kind, stored + "garbage, and more of it"); }),
        HasSubstr(kind == Compression::gzip ? "incorrect header check" : "other bytes follow its end"));
  }
}

TEST(Compression, WindowsBeyondTheLimitAreRefusedBeforeTheyAreMade) {
  const std::uint64_t before = peak_memory();
  // A frame header that asks for a window of 2 GiB; a dictionary of 1.5 GiB.
  const std::string zstd("\x28\xB5\x2F\xFD\x00\xA8\x01\x00\x00", 9);
  EXPECT_EQ(error_of([&] { read_as(Compression::zstd, zstd); }),
            "'file': its zstd data can only be read with more than 128 MiB of memory");
  std::string xz = compressed(Compression::xz, "text", 1536u << 20);
  EXPECT_EQ(error_of([&] { read_as(Compression::xz, xz); }),
            "'file': its xz data can only be read with more than 128 MiB of memory");
  EXPECT_LT(peak_memory() - before, 64u << 20);
}

TEST(Compression, BombsDontFillTheMemory) {
  const std::string zeros(64 << 20, '\0');
  for (const Compression kind : kinds) {
    const std::string stored = compressed(kind, zeros);
    EXPECT_LT(stored.size(), 200u << 10);
    const std::uint64_t before = peak_memory();
    const ByteReader reader = decompressed(kind, reader_of(stored), "file");
    std::string buffer(1 << 16, '\0');
    std::uint64_t bytes = 0;
    while (const std::size_t got = reader(buffer.data(), buffer.size())) bytes += got;
    EXPECT_EQ(bytes, zeros.size());
    EXPECT_LT(peak_memory() - before, 24u << 20) << name_of(kind);
  }
}

}  // namespace
}  // namespace ecp
