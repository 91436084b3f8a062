#include "ecp/train/metrics_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"

namespace ecp {
namespace {

using test::error_of;
using ::testing::HasSubstr;

TEST(MetricsLog, DropsWhatIsBeyondAStep) {
  const test::TemporaryFolder folder;
  const Path path = folder / "metrics.jsonl";
  const MetricsLog log(path);
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

TEST(MetricsLog, RefusesAFileOfSomethingElse) {
  const test::TemporaryFolder folder;
  const Path path = folder / "metrics.jsonl";
  write_file(path, "{\"step\": 1}\nhello\n");
  EXPECT_THAT(error_of([&] { MetricsLog(path).rewind(1); }),
              HasSubstr("metrics.jsonl:2: expected a JSON object"));
  EXPECT_EQ(read_file(path), "{\"step\": 1}\nhello\n");
}

TEST(MetricsLog, ReplacesBytesThatAreNotText) {
  const test::TemporaryFolder folder;
  const MetricsLog log(folder / "metrics.jsonl");
  log.add({{"step", 1}, {"text", "a\xff"}});
  EXPECT_EQ(read_file(folder / "metrics.jsonl"), "{\"step\":1,\"text\":\"a\xEF\xBF\xBD\"}\n");
}

}  // namespace
}  // namespace ecp
