#include "ecp/machine/findings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ecp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// A machine that nothing is wrong with.
Machine good_machine() {
  Machine machine;
  machine.instruction_sets = {"avx2", "avx512", "avx512_bf16"};
  machine.kernels = "avx512_bf16";
  machine.cpus_online = machine.cpus_available = 8;
  machine.memory_total = 32'000'000'000;
  machine.memory_free = 20'000'000'000;
  machine.load = 0.1;
  machine.huge_pages = "madvise";
  machine.folder = {"runs", "ext4", 100'000'000'000, true};
  return machine;
}

Rates good_rates() {
  return {.threads = 8,
          .gemm_float32 = {100e9, 700e9},
          .gemm_bfloat16 = ThreadRates{200e9, 1400e9},
          .memory_read = {10e9, 30e9},
          .disk = DiskRates{500e6, 0.002, 1}};
}

std::vector<Finding> found(const Machine& machine, const std::optional<Rates>& rates = {}) {
  return findings(machine, rates, {});
}

/// The one finding there is.
std::string only(const Machine& machine, const std::optional<Rates>& rates = {}) {
  const auto all = found(machine, rates);
  return all.size() == 1 ? all[0].id + ": " + all[0].what + " -> " + all[0].advice
                         : std::to_string(all.size()) + " findings";
}

TEST(Findings, NothingIsWrongWithAGoodMachine) {
  EXPECT_THAT(found(good_machine(), good_rates()), IsEmpty());
  EXPECT_THAT(found(good_machine()), IsEmpty()) << "nor without figures";
}

TEST(Findings, Processor) {
  Machine machine = good_machine();
  machine.instruction_sets = {};
  machine.kernels = "baseline";
  EXPECT_THAT(only(machine), HasSubstr("no-avx2: "));
  machine.instruction_sets = {"avx2"};
  machine.kernels = "avx2";
  EXPECT_THAT(only(machine), HasSubstr("no-bfloat16: "));
  machine = good_machine();
  machine.kernels_forced = true;
  EXPECT_THAT(found(machine), IsEmpty()) << "forced to the best";
  machine.kernels = "avx2";
  EXPECT_THAT(only(machine), HasSubstr("keeps the kernels at avx2; the processor has avx512_bf16"));
}

TEST(Findings, Threads) {
  Machine machine = good_machine();
  machine.limits.cpus = 2.5;
  EXPECT_THAT(only(machine), HasSubstr("the time of 2.5 CPUs, the default is 8 threads"));
  EXPECT_THAT(only(machine), HasSubstr("train.threads = 2, and --threads 2"));
  machine.limits.cpus = 0.5;
  EXPECT_THAT(only(machine), HasSubstr("train.threads = 1,"));
  machine.limits.cpus = 8;
  EXPECT_THAT(found(machine), IsEmpty());
  machine.omp_threads = "64";
  EXPECT_THAT(only(machine), HasSubstr("OMP_NUM_THREADS asks for 64 threads, more than the 8 CPUs"));
  machine.omp_threads = "4";
  machine.cpus_online = 16;
  EXPECT_THAT(only(machine), HasSubstr("may use 8 of the machine's 16 CPUs"));
  machine = good_machine();
  machine.load = 6.2;
  EXPECT_THAT(only(machine), HasSubstr("busy: the machine is busy: 6.2 processes"));
}

TEST(Findings, Memory) {
  Machine machine = good_machine();
  machine.memory_free = 500'000'000;
  EXPECT_THAT(only(machine), HasSubstr("low-memory: 0.50 GB"));
  machine = good_machine();
  machine.limits.memory = 8'000'000'000;
  machine.limits.memory_used = 1'000'000'000;
  EXPECT_THAT(only(machine),
              HasSubstr("allows 8.00 GB of memory of the machine's 32.00 GB, 7.00 GB are left"));
  EXPECT_EQ(found(machine)[0].level, Finding::Level::note);
  machine.limits.memory_used = 7'900'000'000;
  EXPECT_EQ(found(machine)[0].level, Finding::Level::warning);
  machine = good_machine();
  machine.huge_pages = "never";
  EXPECT_THAT(only(machine), HasSubstr("huge-pages: "));
}

TEST(Findings, Folder) {
  for (const auto& [kind, id] : std::vector<std::pair<std::string, std::string>>{
           {"tmpfs", "in-memory-folder"}, {"overlay", "overlay"}, {"nfs", "network-folder"}}) {
    Machine machine = good_machine();
    machine.folder.kind = kind;
    EXPECT_THAT(only(machine), HasSubstr(id + ": "));
  }
  Machine machine = good_machine();
  machine.folder.free = 1'000'000'000;
  EXPECT_THAT(only(machine), HasSubstr("little-space: 1.00 GB"));
  machine = good_machine();
  machine.folder.writable = false;
  EXPECT_THAT(only(machine), HasSubstr("read-only: the folder 'runs'"));
}

TEST(Findings, MeasuredRates) {
  Rates rates = good_rates();
  rates.gemm_float32.all = 200e9;
  EXPECT_THAT(only(good_machine(), rates), HasSubstr("8 threads multiply matrices 2.0 times as fast as one"));
  rates = good_rates();
  rates.disk->sync_seconds = 0.12;
  EXPECT_THAT(only(good_machine(), rates), HasSubstr("slow-sync: writing a small file safely takes 120 ms"));
  rates = good_rates();
  rates.disk->write = 20e6;
  EXPECT_THAT(only(good_machine(), rates), HasSubstr("20 MB/s: a checkpoint of 1 GB takes 50 s"));
  rates.disk.reset();
  EXPECT_THAT(only(good_machine(), rates), HasSubstr("disk-not-measured"));
}

TEST(Findings, WarningsComeFirst) {
  Machine machine = good_machine();
  machine.huge_pages = "never";
  TorchPart torch;
  torch.error = "no ecp-torch";
  torch.step_error = "too slow";
  std::vector<std::string> ids;
  for (const Finding& finding : findings(machine, {}, torch)) ids.push_back(finding.id);
  EXPECT_THAT(ids, ElementsAre("no-libtorch", "step-failed", "huge-pages"));
}

}  // namespace
}  // namespace ecp
