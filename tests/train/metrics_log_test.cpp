#include "ecp/train/metrics_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"

namespace ecp {
namespace {

using test::error_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(MetricsLog, DropsWhatIsBeyondAStep) {
  const test::TemporaryFolder folder;
  const Path path = folder / "metrics.jsonl";
  MetricsLog log(path);
  log.rewind(5);
  EXPECT_FALSE(std::filesystem::exists(path));
  for (const int step : {5, 10, 15}) {
    log.add({{"kind", "train"}, {"step", step}});
    log.add({{"kind", "eval"}, {"step", step}});
  }
  const std::string all = read_file(path);
  log.rewind(15);
  EXPECT_EQ(read_file(path), all);
  write_file(path, all + "{\"kind\": \"train\", \"st");  // cut off in the middle of a write
  log.rewind(10);
  EXPECT_EQ(
      read_file(path),
      "{\"kind\":\"train\",\"step\":5}\n{\"kind\":\"eval\",\"step\":5}\n{\"kind\":\"train\",\"step\":10}\n"
      "{\"kind\":\"eval\",\"step\":10}\n");
  log.rewind(0);
  EXPECT_EQ(read_file(path), "");
}

TEST(MetricsLog, DropsWhatWasUndoneAtTheStep) {
  const test::TemporaryFolder folder;
  MetricsLog log(folder / "metrics.jsonl");
  for (const int step : {5, 10}) {
    for (const char* kind : {"train", "eval", "sample"}) log.add({{"kind", kind}, {"step", step}});
  }
  log.rewind(10, [](std::string_view kind) { return kind == "eval" || kind == "sample"; });
  std::vector<std::string> lines;
  std::istringstream content(read_file(folder / "metrics.jsonl"));
  for (std::string line; std::getline(content, line);) lines.push_back(line);
  EXPECT_THAT(lines, ElementsAre(R"({"kind":"train","step":5})", R"({"kind":"eval","step":5})",
                                 R"({"kind":"sample","step":5})", R"({"kind":"train","step":10})"));
}

TEST(MetricsLog, KeepsLinesUntilThereIsRoom) {
  const test::TemporaryFolder folder;
  const Path path = folder / "metrics.jsonl";
  std::filesystem::create_symlink("/dev/full", path);
  MetricsLog log(path);
  EXPECT_FALSE(log.add({{"kind", "train"}, {"step", 1}}));
  EXPECT_FALSE(log.add({{"kind", "train"}, {"step", 2}}));
  EXPECT_THROW(log.flush(), NoSpace);
  std::filesystem::remove(path);
  EXPECT_TRUE(log.add({{"kind", "train"}, {"step", 3}}));
  EXPECT_EQ(
      read_file(path),
      "{\"kind\":\"train\",\"step\":1}\n{\"kind\":\"train\",\"step\":2}\n{\"kind\":\"train\",\"step\":3}\n");
  log.flush();
}

TEST(MetricsLog, RefusesAFileOfSomethingElse) {
  const test::TemporaryFolder folder;
  const Path path = folder / "metrics.jsonl";
  write_file(path, "hello\n");
  EXPECT_THAT(error_of([&] { MetricsLog(path).rewind(1); }),
              HasSubstr("metrics.jsonl:1: expected a JSON object"));
  EXPECT_EQ(read_file(path), "hello\n");
}

TEST(MetricsLog, LeavesOutWhatAPowerCutLeft) {
  const test::TemporaryFolder folder;
  const Path path = folder / "metrics.jsonl";
  const std::string damaged = "{\"step\": 1}\n" + std::string(7, '\0') + "\n{\"step\": 2}\n";
  write_file(path, damaged);
  EXPECT_THAT(
      MetricsLog(path).rewind(1).value_or(""),
      HasSubstr(
          "metrics.jsonl:2: expected a JSON object with a whole number \"step\"; dropped from there on"));
  EXPECT_EQ(read_file(path), "{\"step\": 1}\n");
  EXPECT_EQ(read_file(folder / "metrics.jsonl.damaged"), damaged);
  EXPECT_FALSE(MetricsLog(path).rewind(1).has_value());
}

TEST(MetricsLog, ReplacesBytesThatAreNotText) {
  const test::TemporaryFolder folder;
  MetricsLog log(folder / "metrics.jsonl");
  log.add({{"step", 1}, {"text", "a\xff"}});
  EXPECT_EQ(read_file(folder / "metrics.jsonl"), "{\"step\":1,\"text\":\"a\xEF\xBF\xBD\"}\n");
}

}  // namespace
}  // namespace ecp
