#include "ecp/train/run_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"

namespace ecp {
namespace {

using test::error_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

void make(const RunFolder& run, std::int64_t step) {
  std::filesystem::create_directories(run.checkpoint(step));
  write_file(run.checkpoint(step) / "model.safetensors", "x");
}

TEST(RunFolder, RefusesToStartInAFolderWithContent) {
  const test::TemporaryFolder folder;
  const RunFolder run(folder / "run");
  EXPECT_EQ(error_of([&] { run.require_new(); }), "");
  EXPECT_THAT(error_of([&] { run.require_started(); }), HasSubstr("there is nothing to resume"));
  run.create();
  EXPECT_THAT(error_of([&] { run.require_started(); }), HasSubstr("expected config.toml"));
  { const FileLock lock = run.lock(); }
  write_file(folder / "run/.config.toml.tmp-7", "");
  EXPECT_EQ(error_of([&] { run.require_new(); }), "") << "killed before it began";
  write_file(run.config(), "");
  EXPECT_THAT(error_of([&] { run.require_new(); }), HasSubstr("continue it with --resume"));
  EXPECT_EQ(error_of([&] { run.require_started(); }), "");
  std::filesystem::create_directory(folder / "empty");
  EXPECT_EQ(error_of([&] { RunFolder(folder / "empty").require_new(); }), "");
  write_file(folder / "file", "x");
  EXPECT_THAT(error_of([&] { RunFolder(folder / "file").require_new(); }),
              HasSubstr("a file of that name exists"));
}

TEST(RunFolder, KeepsTheNewestAndTheBest) {
  const test::TemporaryFolder folder;
  const RunFolder run(folder / "run");
  run.create();
  for (const std::int64_t step : {5, 10, 15, 20, 100000000}) make(run, step);
  std::filesystem::create_directory(run.checkpoints() / "step-7");  // not a name of ours
  EXPECT_THAT(run.steps(), ElementsAre(5, 10, 15, 20, 100000000));
  run.retain(2, 10);
  EXPECT_THAT(run.steps(), ElementsAre(10, 20, 100000000));
  EXPECT_TRUE(std::filesystem::exists(run.checkpoints() / "step-7"));
  run.retain(5, {});
  EXPECT_THAT(run.steps(), ElementsAre(10, 20, 100000000));
  run.retain(1, {});
  EXPECT_THAT(run.steps(), ElementsAre(100000000));
}

TEST(RunFolder, CleansUpAfterKilledWriters) {
  const test::TemporaryFolder folder;
  const RunFolder run(folder / "run");
  run.create();
  make(run, 5);
  const std::vector<Path> left = {run.checkpoints() / ".step-00000025.tmp-1", run.path() / ".run.json.tmp-31",
                                  run.checkpoints() / ".step-00000004.old",
                                  run.checkpoints() / ".last.tmp-5"};
  const std::vector<Path> others = {run.checkpoints() / ".step-4.old", run.path() / ".hidden",
                                    run.path() / ".run.json.tmp-", run.path() / "mine.tmp-3"};
  for (const auto& paths : {left, others}) {
    for (const Path& path : paths) std::filesystem::create_directory(path);
  }
  run.clean();
  for (const Path& path : left) EXPECT_FALSE(std::filesystem::exists(path)) << path;
  for (const Path& path : others) EXPECT_TRUE(std::filesystem::exists(path)) << path;
  EXPECT_THAT(run.steps(), ElementsAre(5));
}

TEST(RunFolder, IsForOneProcess) {
  const test::TemporaryFolder folder;
  const RunFolder run(folder / "run");
  run.create();
  {
    const FileLock lock = run.lock();
    EXPECT_THAT(error_of([&] { static_cast<void>(run.lock()); }),
                HasSubstr(fmt::format("run' is in use by another process (number {})", ::getpid())));
  }
  EXPECT_EQ(error_of([&] { static_cast<void>(run.lock()); }), "");
}

TEST(RunFolder, SetsCheckpointsAside) {
  const test::TemporaryFolder folder;
  const RunFolder run(folder / "run");
  run.create();
  for (int i = 0; i < 2; ++i) {  // the second replaces the first
    make(run, 5);
    EXPECT_EQ(run.set_aside(5), run.checkpoints() / "damaged-step-00000005");
    EXPECT_THAT(run.steps(), ElementsAre());
  }
  EXPECT_TRUE(std::filesystem::exists(run.checkpoints() / "damaged-step-00000005/model.safetensors"));
}

TEST(RunFolder, LinksAreRelativeAndReplaced) {
  const test::TemporaryFolder folder;
  const RunFolder run(folder / "run");
  run.create();
  make(run, 5);
  make(run, 10);
  run.link("last", 5);
  run.link("last", 10);
  run.link("best", 5);
  EXPECT_EQ(std::filesystem::read_symlink(run.checkpoints() / "last"), "step-00000010");
  EXPECT_EQ(std::filesystem::read_symlink(run.checkpoints() / "best"), "step-00000005");
  std::filesystem::rename(folder / "run", folder / "moved");
  EXPECT_TRUE(std::filesystem::exists(folder / "moved/checkpoints/best/model.safetensors"));
}

}  // namespace
}  // namespace ecp
