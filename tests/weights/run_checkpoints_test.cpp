#include "ecp/weights/run_checkpoints.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"
#include "tests/weights/sample_checkpoint.h"

namespace ecp {
namespace {

using test::error_of;
using test::TemporaryFolder;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::int64_t> steps(const std::vector<RunCheckpoint>& checkpoints) {
  std::vector<std::int64_t> all;
  for (const RunCheckpoint& checkpoint : checkpoints) all.push_back(checkpoint.step);
  return all;
}

class RunCheckpoints : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(folder_ / "checkpoints");
    for (const int step : {100, 200, 300, 400, 500}) {
      test::write_sample_checkpoint(folder_.path() / "checkpoints" / checkpoint_name(step));
    }
    link("best", 200);
    link("last", 500);
  }
  void link(const std::string& name, std::int64_t step) {
    std::filesystem::remove(folder_.path() / "checkpoints" / name);
    std::filesystem::create_symlink(checkpoint_name(step), folder_.path() / "checkpoints" / name);
  }
  void damage(std::int64_t step) {
    const Path file = folder_.path() / "checkpoints" / checkpoint_name(step) / "model.safetensors";
    write_file(file, read_file(file).substr(1));
  }
  TemporaryFolder folder_;
};

TEST(CheckpointName, AndBack) {
  EXPECT_EQ(checkpoint_name(200), "step-00000200");
  EXPECT_EQ(checkpoint_step("step-00000200"), 200);
  EXPECT_EQ(checkpoint_step("step-123456789"), 123456789);
  for (const char* other :
       {"step-200", "step-", "step--0000001", "step-00000200x", ".step-00000200.old", "best"}) {
    EXPECT_EQ(checkpoint_step(other), std::nullopt) << other;
  }
}

TEST_F(RunCheckpoints, AreListedWithTheirMarks) {
  std::filesystem::create_directory(folder_ / "checkpoints/.step-00000600.tmp-1");
  const auto all = list_checkpoints(folder_.path());
  EXPECT_THAT(steps(all), ElementsAre(100, 200, 300, 400, 500));
  EXPECT_TRUE(all[1].best && !all[1].last && all[4].last && !all[4].best);
  std::uint64_t bytes = 0;
  for (const std::string& name : test::files_under(all[0].folder))
    bytes += std::filesystem::file_size(all[0].folder / name);
  EXPECT_EQ(all[0].bytes, bytes);
  EXPECT_THAT(error_of([&] { list_checkpoints(folder_ / "none"); }), HasSubstr("no such folder"));
  EXPECT_THAT(error_of([&] { list_checkpoints(all[0].folder); }), HasSubstr("expected checkpoints/ in it"));
}

TEST_F(RunCheckpoints, TheNewestAndTheBestStay) {
  PrunePlan plan = plan_prune(folder_.path(), 1);
  EXPECT_THAT(steps(plan.kept), ElementsAre(200, 500));
  EXPECT_THAT(steps(plan.removed), ElementsAre(100, 300, 400));
  plan = plan_prune(folder_.path(), 2);
  EXPECT_THAT(steps(plan.kept), ElementsAre(200, 400, 500));
  EXPECT_THAT(steps(plan_prune(folder_.path(), 1000).kept), ElementsAre(100, 200, 300, 400, 500));
  EXPECT_THAT(error_of([&] { plan_prune(folder_.path(), 0); }), HasSubstr("at least 1"));
}

TEST_F(RunCheckpoints, TheNewestIntactOneStays) {
  damage(500);
  damage(400);
  damage(200);
  const PrunePlan plan = plan_prune(folder_.path(), 1);
  EXPECT_THAT(steps(plan.kept), ElementsAre(200, 300, 500));
  for (const RunCheckpoint& checkpoint : plan.removed) remove_checkpoint(checkpoint);
  EXPECT_THAT(steps(list_checkpoints(folder_.path())), ElementsAre(200, 300, 500));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "checkpoints/.step-00000100.old"));
}

TEST_F(RunCheckpoints, InspectionNamesEveryFile) {
  const Path folder = folder_ / "checkpoints/step-00000100";
  EXPECT_TRUE(inspect_checkpoint(folder).intact());
  damage(100);
  write_file(folder / "state.json", "{\"format\": \"ecp-training-state\", \"version\": 1, \"step\": 6}\n");
  std::filesystem::remove(folder / "tokenizer/tokenizer.model");
  const CheckpointState state = inspect_checkpoint(folder);
  EXPECT_FALSE(state.intact());
  std::map<std::string, std::string> faults;
  for (const auto& file : state.files) faults[file.name] = file.fault;
  EXPECT_EQ(faults["config.json"], "");
  EXPECT_THAT(faults["model.safetensors"], HasSubstr("has another size"));
  EXPECT_THAT(faults["state.json"], HasSubstr("is damaged"));
  EXPECT_EQ(faults["tokenizer/tokenizer.model"], "is missing");
  std::filesystem::remove(folder / manifest_name);
  EXPECT_THAT(inspect_checkpoint(folder).fault, HasSubstr("manifest.json"));
}

TEST_F(RunCheckpoints, WholeFilesOfAnotherModelAreNotIntact) {
  const Path folder = folder_ / "checkpoints/step-00000100";
  ModelConfig other = test::small_model();
  other.layers = 2;
  write_file(folder / "config.json", to_json(other));
  write_manifest(folder);
  EXPECT_THAT(inspect_checkpoint(folder).fault, HasSubstr("is missing"));
}

}  // namespace
}  // namespace ecp
