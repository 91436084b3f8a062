#include "ecp/machine/findings.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace ecp {
namespace {

constexpr double giga = 1e9;

class Doctor {
 public:
  Doctor(const Machine& machine, const std::optional<Rates>& rates, const TorchPart& torch)
      : m_(machine), rates_(rates), torch_(torch) {}

  std::vector<Finding> all() {
    program();
    processor();
    threads();
    memory();
    folder();
    if (rates_) measured(*rates_);
    std::stable_sort(found_.begin(), found_.end(),
                     [](const Finding& a, const Finding& b) { return a.level > b.level; });
    return std::move(found_);
  }

 private:
  void warn(const char* id, std::string what, std::string advice) {
    found_.push_back({Finding::Level::warning, id, std::move(what), std::move(advice)});
  }
  void note(const char* id, std::string what, std::string advice) {
    found_.push_back({Finding::Level::note, id, std::move(what), std::move(advice)});
  }
  [[nodiscard]] bool has(const char* instruction_set) const {
    const auto& sets = m_.instruction_sets;
    return std::find(sets.begin(), sets.end(), instruction_set) != sets.end();
  }

  [[nodiscard]] bool busy() const { return m_.load > 0.5 * m_.cpus_available; }

  void program() {
    if (!torch_.error.empty()) {
      warn("no-libtorch", "training and evaluation can't run: " + torch_.error,
           "build the project with LibTorch (scripts/build); ecp-torch stands beside ecp");
    }
    if (!torch_.step_error.empty()) {
      warn("step-failed", "the training step was not measured: " + torch_.step_error,
           "measure when the machine is idle and has memory; ecp-torch doctor-step says more");
    }
  }

  void processor() {
    if (!has("avx2")) {
      warn("no-avx2",
           "the processor has no AVX2, or hides it: all kernels run on their portable code, half as fast or "
           "slower",
           "use another machine, or let the virtual machine pass the host's processor through");
    } else if (!has("avx512_bf16") && !has("amx_bf16")) {
      note("no-bfloat16", "the processor has no instructions for bfloat16: that type saves no time here",
           "keep train.dtype = \"float32\"");
    }
    const std::string best = m_.instruction_sets.empty() ? "baseline" : m_.instruction_sets.back();
    if (m_.kernels_forced && m_.kernels != best) {
      warn("forced-isa",
           fmt::format("ECP_CPU_ISA keeps the kernels at {}; the processor has {}", m_.kernels, best),
           "unset ECP_CPU_ISA");
    }
  }

  void threads() {
    const double cpus = m_.cpus_available;
    if (m_.limits.cpus && *m_.limits.cpus < cpus) {
      const auto fitting = std::max(1L, std::lround(std::floor(*m_.limits.cpus)));
      warn("cpu-limit",
           fmt::format(
               "the control group allows the time of {:.2g} CPUs, the default is {} threads: all are halted "
               "for a part of each period while one waits for the other",
               *m_.limits.cpus, m_.cpus_available),
           fmt::format("set train.threads = {0}, and --threads {0} elsewhere", fitting));
    }
    if (const long wanted = std::strtol(m_.omp_threads.c_str(), nullptr, 10); wanted > m_.cpus_available) {
      warn("omp-threads",
           fmt::format("OMP_NUM_THREADS asks for {} threads, more than the {} CPUs that this process may use",
                       wanted, m_.cpus_available),
           "unset OMP_NUM_THREADS");
    }
    if (m_.cpus_available < m_.cpus_online) {
      note("affinity",
           fmt::format("this process may use {} of the machine's {} CPUs (its affinity mask)",
                       m_.cpus_available, m_.cpus_online),
           "nothing, if that is meant; see taskset or the batch system's settings otherwise");
    }
    if (busy()) {
      warn("busy",
           fmt::format(
               "the machine is busy: {:.1f} processes ran or waited in the last minute, for {} CPUs; what is "
               "measured here, and training, is slower than it could be",
               m_.load, m_.cpus_available),
           "measure and train when it is idle, or start training with OMP_WAIT_POLICY=passive");
    }
  }

  void memory() {
    constexpr double little = 2 * giga;
    if (m_.memory_free > 0 && static_cast<double>(m_.memory_free) < little) {
      warn("low-memory",
           fmt::format("{:.2f} GB of memory are free", static_cast<double>(m_.memory_free) / giga),
           "close other programs, or choose a smaller model.dim, train.batch or model.sequence");
    }
    if (m_.limits.memory && *m_.limits.memory < m_.memory_total) {
      const double limit = static_cast<double>(*m_.limits.memory);
      const double left = limit - static_cast<double>(m_.limits.memory_used.value_or(0));
      const std::string what = fmt::format(
          "the control group allows {:.2f} GB of memory of the machine's {:.2f} GB, {:.2f} GB are left: a "
          "process "
          "that takes more is killed without a word",
          limit / giga, static_cast<double>(m_.memory_total) / giga, left / giga);
      const char* advice =
          "let the peak memory that training shows stay below it, or raise the container's limit";
      left < little ? warn("memory-limit", what, advice) : note("memory-limit", what, advice);
    }
    if (m_.huge_pages == "never") {
      note("huge-pages",
           "transparent huge pages are off: large tensors lie in pages of 4 kB, each with its own entry",
           "as root: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled, and see whether training is "
           "faster");
    }
  }

  void folder() {
    const FileSystem& f = m_.folder;
    if (!f.writable) {
      warn("read-only", fmt::format("the folder '{}' can't be written", f.path),
           "run where results are to be written, or give that folder with --folder");
    }
    if (f.kind == "tmpfs" || f.kind == "ramfs") {
      warn("in-memory-folder",
           fmt::format(
               "the folder '{}' lies in memory ({}): checkpoints take from it and are gone after a restart",
               f.path, f.kind),
           "write runs to a disk");
    } else if (f.kind == "overlay") {
      note("overlay",
           fmt::format("the folder '{}' is a container's own layer: what is written goes with the container",
                       f.path),
           "write runs to a volume");
    } else if (f.kind == "nfs" || f.kind == "smb" || f.kind == "9p" || f.kind == "fuse") {
      note("network-folder",
           fmt::format("the folder '{}' is on {}: token files are mapped and checkpoints synced over it",
                       f.path, f.kind),
           "keep token files on a local disk if steps take uneven times");
    }
    if (f.free && static_cast<double>(*f.free) < 5 * giga) {
      warn("little-space",
           fmt::format(
               "{:.2f} GB are free in '{}'; a checkpoint takes 12 bytes per parameter, and four are kept",
               static_cast<double>(*f.free) / giga, f.path),
           "make space, or lower train.keep");
    }
  }

  void measured(const Rates& rates) {
    const double speedup = rates.gemm_float32.all / rates.gemm_float32.one;
    if (rates.threads > 1 && speedup < 0.6 * rates.threads && !busy()) {  // busy says it all
      warn("threads-do-not-add-up",
           fmt::format(
               "{} threads multiply matrices {:.1f} times as fast as one: CPUs that share a core, other "
               "programs or a limit take the rest",
               rates.threads, speedup),
           "try train.threads with the number of cores, and measure again when the machine is idle");
    }
    if (!rates.disk) {
      if (m_.folder.writable)
        note("disk-not-measured", "the disk was not measured: no file of 128 MB could be written and synced",
             "make space");
      return;
    }
    if (rates.disk->sync_seconds > 0.05) {
      warn("slow-sync",
           fmt::format("writing a small file safely takes {:.0f} ms: each checkpoint syncs several",
                       rates.disk->sync_seconds * 1e3),
           "raise train.checkpoint_every, or write runs to another disk");
    }
    if (rates.disk->write < 50e6) {
      warn("slow-disk",
           fmt::format(
               "the disk takes {:.0f} MB/s: a checkpoint of 1 GB takes {:.0f} s, during which training waits",
               rates.disk->write / 1e6, giga / rates.disk->write),
           "raise train.checkpoint_every, or write runs to another disk");
    }
  }

  const Machine& m_;
  const std::optional<Rates>& rates_;
  const TorchPart& torch_;
  std::vector<Finding> found_;
};

}  // namespace

std::vector<Finding> findings(const Machine& machine, const std::optional<Rates>& rates,
                              const TorchPart& torch) {
  return Doctor(machine, rates, torch).all();
}

}  // namespace ecp
