// ecp-torch doctor-step: the part of `ecp doctor` that needs LibTorch. Prints one JSON object.
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <fmt/core.h>
#include <torch/version.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>

#include "ecp/base/interrupt.h"
#include "ecp/base/system.h"
#include "ecp/cli/arguments.h"
#include "ecp/cli/torch/commands.h"
#include "ecp/config/config_file.h"
#include "ecp/train/synthetic_training.h"

namespace ecp::cli {
namespace {

/// The model of scripts/quickstart.
constexpr const char* quickstart = R"(
[model]
preset = "modern"
vocab = 2048
dim = 256
layers = 4
heads = 4
sequence = 256
block = 64
[data]
train = ["random tokens"]
[train]
batch = 8
lr = 4e-3
)";

/// Tokens per second: the median of the steps that fit into `seconds`, at least one.
double tokens_per_second(const std::string& dtype, double seconds) {
  using Clock = std::chrono::steady_clock;
  SyntheticTraining training(parse_config(quickstart, "doctor-step", {"train.dtype=" + dtype}));
  training.step();  // allocates, chooses kernels
  std::vector<double> took;
  const auto begin = Clock::now();
  while (took.empty() || std::chrono::duration<double>(Clock::now() - begin).count() < seconds) {
    check_interrupt();
    const auto start = Clock::now();
    training.step();
    took.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  std::sort(took.begin(), took.end());
  return training.tokens_per_step() / took[took.size() / 2];
}

}  // namespace

void add_doctor_step(CLI::App& app) {
  struct Options {
    double seconds = 5;
    int threads = 0;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("doctor-step", "Measure a training step, for ecp doctor");
  command->group("");  // not in the help
  command->add_option("--seconds", options->seconds, "How long to measure; 0: only versions")
      ->check(CLI::Range(0.0, 3600.0));
  command->add_option("--threads", options->threads, "0: all available")
      ->check(whole_number(0, most_threads));
  command->callback([options] {
    const StopRequests guard;
    at::set_num_threads(options->threads > 0 ? options->threads : available_cpus());
    nlohmann::ordered_json json = {{"libtorch", TORCH_VERSION}, {"capability", at::get_cpu_capability()}};
    if (options->seconds > 0) {
      json["float32"] = tokens_per_second("float32", options->seconds / 2);
      json["bfloat16"] = tokens_per_second("bfloat16", options->seconds / 2);
    }
    fmt::print("{}\n", json.dump());
  });
}

}  // namespace ecp::cli
