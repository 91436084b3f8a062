#include "ecp/experiment/event_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"

namespace ecp {
namespace {

using test::error_of;
using test::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Json = nlohmann::ordered_json;

std::string text_at(const LogEvent& event) { return std::get<std::string>(event.value); }
double number_at(const LogEvent& event) { return std::get<double>(event.value); }

std::uint64_t integer(std::string_view bytes, std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < size; ++i)
    value |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << 8 * i;
  return value;
}

/// The records of a TFRecord file, their checksums verified.
std::vector<std::string> records(const Path& path) {
  const std::string file = read_file(path);
  const auto unmasked = [](std::uint64_t masked) {
    const auto rotated = static_cast<std::uint32_t>(masked - 0xA282EAD8u);
    return rotated >> 17 | rotated << 15;
  };
  std::vector<std::string> all;
  for (std::string_view rest = file; !rest.empty();) {
    const auto length = integer(rest, 8);
    EXPECT_EQ(unmasked(integer(rest.substr(8), 4)), crc32c(rest.substr(0, 8)));
    all.emplace_back(rest.substr(12, length));
    EXPECT_EQ(unmasked(integer(rest.substr(12 + length), 4)), crc32c(all.back()));
    rest.remove_prefix(16 + length);
  }
  return all;
}

TEST(EventFile, ChecksumsOfKnownVectors) {
  // RFC 3720, B.4.
  std::string ascending;
  for (int i = 0; i < 32; ++i) ascending += static_cast<char>(i);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
  EXPECT_EQ(crc32c(ascending), 0x46DD794Eu);
  EXPECT_EQ(crc32c(std::string(ascending.rbegin(), ascending.rend())), 0x113FDB5Cu);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(""), 0u);
}

TEST(EventFile, BytesAreThoseOfTheFormat) {
  const TemporaryFolder folder;
  EventFile file(folder.path());
  file.add({{"a/b", 300, 1.5}, {"t", 0, std::string("hi")}}, 2.0);
  const auto all = records(file.path());
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].substr(9), std::string("\x1a\x0d", 2) + "brain.Event:2") << "field 3, 13 bytes";
  const std::string time("\x09\0\0\0\0\0\0\0\x40", 9);                         // field 1: 2.0
  EXPECT_EQ(all[1], time + std::string("\x10\xac\x02", 3) +                    // field 2: 300
                        std::string("\x2a\x0c\x0a\x0a", 4) +                   // summary, value
                        std::string("\x0a\x03", 2) + "a/b" +                   // tag
                        std::string("\x15\x00\x00\xc0\x3f", 5));               // simple_value 1.5
  EXPECT_EQ(all[2], time + std::string("\x2a\x1f\x0a\x1d", 4) +                //
                        std::string("\x0a\x01", 2) + "t" +                     //
                        std::string("\x42\x0c\x08\x07", 4) +                   // tensor: DT_STRING
                        std::string("\x12\x04\x12\x02\x08\x01", 6) +           // of shape [1]
                        std::string("\x42\x02", 2) + "hi" +                    //
                        std::string("\x4a\x0a\x0a\x06\x0a\x04", 6) + "text" +  // plugin
                        std::string("\x20\x02", 2));                           // class: tensor
}

TEST(EventFile, ARunThatGoesOnBeginsAFileThatPurges) {
  const TemporaryFolder folder;
  std::vector<std::string> names;
  for (int start = 0; start < 3; ++start) {  // within a second
    const EventFile file(folder.path(), start == 0 ? std::nullopt : std::optional<std::int64_t>(21));
    names.push_back(file.path().filename().string());
    EXPECT_THAT(names.back(), StartsWith("events.out.tfevents."));
    const auto all = records(file.path());
    if (start == 0) {
      EXPECT_EQ(all.size(), 1u);
    } else {
      ASSERT_EQ(all.size(), 2u);
      EXPECT_EQ(all[1].substr(9), std::string("\x10\x15\x3a\x02\x08\x01", 6)) << "step 21, session_log START";
    }
  }
  EXPECT_EQ(folder.names(), names) << "sorted by name they are in the order of their making";
}

TEST(EventFile, NamesGoOnAfterAClockThatWasSetBack) {
  const TemporaryFolder folder;
  write_file(folder / "events.out.tfevents.4000000000.host.1", "");
  EXPECT_THAT(EventFile(folder.path()).path().filename().string(),
              StartsWith("events.out.tfevents.4000000001."));
  write_file(folder / "events.out.tfevents.99999999999999999999.host.1", "");
  EXPECT_THAT(EventFile(folder.path()).path().filename().string(),
              StartsWith("events.out.tfevents.4000000002."));
}

TEST(EventFile, SaysWhereItCannotWrite) {
  const TemporaryFolder folder;
  EXPECT_THAT(error_of([&] { const EventFile file(folder / "missing"); }),
              HasSubstr("missing/events.out.tfevents."));
}

TEST(EventFile, WhatFoundNoSpaceIsWrittenLater) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full on this machine";
  const TemporaryFolder folder;
  EventFile file(folder.path(), std::nullopt);
  const std::string begun = read_file(file.path());
  std::filesystem::remove(file.path());
  std::filesystem::create_symlink("/dev/full", file.path());
  EXPECT_FALSE(file.add({{"a", 1, 2.0}}, 1));
  EXPECT_FALSE(file.add({{"b", 2, 3.0}}, 2));
  EXPECT_THROW(file.flush(), NoSpace);
  std::filesystem::remove(file.path());
  write_file(file.path(), begun);
  EXPECT_TRUE(file.add({{"c", 3, 4.0}}, 3));
  const auto all = records(file.path());
  ASSERT_EQ(all.size(), 4u);
  for (std::size_t i = 1; i < 4; ++i)
    EXPECT_THAT(all[i], HasSubstr(std::string("\x0A\x01") + "?abc"[i])) << "the tag of value " << i;
}

TEST(EventFile, WhatWasAddedIsThere) {
  const TemporaryFolder folder;
  EventFile file(folder.path());
  for (int step = 1; step <= 20; ++step) {
    file.add(Json{{"kind", "train"}, {"step", step}, {"loss", 2.0}});
    EXPECT_EQ(records(file.path()).size(), 1u + static_cast<std::size_t>(step));
  }
}

TEST(EventsOf, TrainingAndEvaluation) {
  const auto train = events_of(Json::parse(
      R"({"kind":"train","step":10,"loss":2.5,"lr":0.1,"grad_norm":null,"tokens":5,"tokens_per_second":7,"seconds":1,"peak_memory":9})"));
  std::vector<std::string> tags;
  for (const LogEvent& event : train) {
    tags.push_back(event.tag);
    EXPECT_EQ(event.step, 10);
  }
  EXPECT_THAT(tags, ElementsAre("train/loss", "train/learning_rate", "train/grad_norm",
                                "train/tokens_per_second", "train/peak_memory"));
  EXPECT_EQ(number_at(train[0]), 2.5);
  EXPECT_TRUE(std::isnan(number_at(train[2]))) << "TensorBoard marks it";

  const auto eval = events_of(Json::parse(
      R"({"kind":"eval","step":20,"loss":3,"perplexity_token":20,"perplexity_word":null,"bits_per_byte":1.5,"words":0})"));
  ASSERT_EQ(eval.size(), 3u);
  EXPECT_EQ(eval[0].tag, "eval/loss");
  EXPECT_EQ(eval[1].tag, "eval/bits_per_byte");
  EXPECT_EQ(eval[2].tag, "eval/perplexity_token");
}

TEST(EventsOf, TextsAndOtherKinds) {
  const auto sample =
      events_of(Json{{"kind", "sample"}, {"step", 5}, {"prompt", "It is"}, {"text", " so\n2. *x*"}});
  ASSERT_EQ(sample.size(), 1u);
  EXPECT_EQ(sample[0].tag, "sample");
  EXPECT_EQ(text_at(sample[0]), "It is| so  \n2\\. \\*x\\*");
  const auto hostile =
      events_of(Json{{"kind", "sample"}, {"step", 5}, {"prompt", ""}, {"text", "<b>&\n# [a](b)"}});
  EXPECT_EQ(text_at(hostile[0]), "|&lt;b>&amp;  \n\\# \\[a\\](b)");
  const auto skip = events_of(Json{{"kind", "skip"}, {"step", 6}, {"reason", "loss is nan"}});
  ASSERT_EQ(skip.size(), 1u);
  EXPECT_EQ(skip[0].tag, "train/skipped");
  EXPECT_EQ(text_at(skip[0]), "loss is nan");
  for (const char* other :
       {R"({"kind":"later","step":1})", R"({"kind":"train"})", R"({"kind":5,"step":1})", "[]"})
    EXPECT_TRUE(events_of(Json::parse(other)).empty()) << other;
}

TEST(EventsOf, NoLineBreaksIt) {
  EXPECT_TRUE(rc::check("any text and step give events that can be written", [] {
    const auto prompt = *rc::gen::arbitrary<std::string>();
    const auto step = *rc::gen::arbitrary<std::int64_t>();
    const TemporaryFolder folder;
    EventFile file(folder.path());
    file.add(Json{{"kind", "sample"}, {"step", step}, {"prompt", prompt}, {"text", "x"}});
    RC_ASSERT(records(file.path()).size() == 2u);
  }));
}

}  // namespace
}  // namespace ecp
