#include "ecp/base/control_group.h"

#include <gtest/gtest.h>

#include <string>

#include "ecp/base/files.h"
#include "tests/support/temporary_folder.h"

namespace ecp {
namespace {

using test::TemporaryFolder;

/// A root folder with files of /proc and /sys.
class Root {
 public:
  Root& file(const std::string& name, const std::string& content) {
    std::filesystem::create_directories((folder_ / name).parent_path());
    write_file(folder_ / name, content + "\n");
    return *this;
  }
  [[nodiscard]] GroupLimits limits() const { return group_limits(folder_.path()); }

 private:
  TemporaryFolder folder_;
};

TEST(GroupLimits, NoneWithoutGroups) {
  const GroupLimits limits = Root().limits();
  EXPECT_FALSE(limits.cpus || limits.memory || limits.memory_used);
}

TEST(GroupLimits, Version2TakesTheLeastOnTheWayUp) {
  Root root;
  root.file("proc/self/cgroup", "0::/pods/one")
      .file("sys/fs/cgroup/pods/cpu.max", "150000 100000")
      .file("sys/fs/cgroup/pods/one/cpu.max", "400000 100000")
      .file("sys/fs/cgroup/pods/memory.max", "3000000000")
      .file("sys/fs/cgroup/pods/memory.current", "1900000000")
      .file("sys/fs/cgroup/pods/memory.stat",
            "anon 1000000000\nfile 900000000\nactive_file 300000000\ninactive_file 600000000")
      .file("sys/fs/cgroup/pods/one/memory.max", "max");
  EXPECT_EQ(root.limits().cpus, 1.5);
  EXPECT_EQ(root.limits().memory, 3000000000u);
  EXPECT_EQ(root.limits().memory_used, 1000000000u);
  root.file("sys/fs/cgroup/pods/one/memory.max", "2000000000");
  EXPECT_EQ(root.limits().memory, 2000000000u);
  EXPECT_FALSE(root.limits().memory_used) << "the one group's use says nothing of the other";
  root.file("sys/fs/cgroup/pods/cpu.max", "max 100000");
  EXPECT_EQ(root.limits().cpus, 4.0);
}

TEST(GroupLimits, Version2InAContainerThatSeesItsOwnGroupAsTheRoot) {
  Root root;
  root.file("proc/self/cgroup", "0::/docker/outside").file("sys/fs/cgroup/cpu.max", "50000 100000");
  EXPECT_EQ(root.limits().cpus, 0.5);
}

TEST(GroupLimits, Version1) {
  Root root;
  root.file("proc/self/cgroup", "4:memory:/job\n3:cpu,cpuacct:/job\n1:name=systemd:/")
      .file("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "300000")
      .file("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000")
      .file("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1")
      .file("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000")
      .file("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712")
      .file("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "8000000000")
      .file("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "5000")
      .file("sys/fs/cgroup/memory/job/memory.stat",
            "active_file 7\ntotal_active_file 900\ntotal_inactive_file 100");
  EXPECT_EQ(root.limits().cpus, 3.0);
  EXPECT_EQ(root.limits().memory, 8000000000u);
  EXPECT_EQ(root.limits().memory_used, 4000u);
}

TEST(GroupLimits, NonsenseIsNoLimit) {
  Root root;
  root.file("proc/self/cgroup", "\n::\n0:\n0::/a\nx")
      .file("sys/fs/cgroup/a/cpu.max", "-5 0")
      .file("sys/fs/cgroup/a/memory.max", "much");
  EXPECT_FALSE(root.limits().cpus || root.limits().memory);
}

}  // namespace
}  // namespace ecp
