// A worker that times whole training steps: forward, backward, clipping, AdamW. benchmarks/train_step.py
// starts it beside its peers and asks all in turn: each line "steps K" on standard input, or "gemm K" for the
// machine's own matrix products, is answered by one JSON line.
//
//   bench_train_step [section.key=value ...]     fields of [model] and [train], e.g. model.dim=512
//   train.batch=2
#include <ATen/Parallel.h>
#include <sys/resource.h>

#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "benchmarks/ceiling.h"
#include "ecp/base/error.h"
#include "ecp/base/system.h"
#include "ecp/config/complexity.h"
#include "ecp/config/config_file.h"
#include "ecp/ops/tensor_memory.h"
#include "ecp/train/synthetic_training.h"

namespace {

constexpr const char* defaults = R"(
[model]
preset = "paper"
vocab = 256
dim = 256
layers = 6
heads = 4
sequence = 1024
block = 128
dropout = 0.0
[data]
train = ["random tokens"]
[train]
batch = 4
lr = 5e-4
)";

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

int run(const std::vector<std::string>& overrides) {
  const ecp::Config config = ecp::parse_config(defaults, "bench_train_step", overrides);
  at::set_num_threads(config.train.threads > 0 ? static_cast<int>(config.train.threads)
                                               : ecp::available_cpus());
  ecp::SyntheticTraining training(config);
  ecp::benchmarks::Ceiling ceiling(config.train.dtype == "bfloat16");
  // Each product has two gradients; what is computed twice counts once.
  const double operations_per_token = 3 *
                                      ecp::complexity(config.model, config.model.sequence).flops.forward() /
                                      static_cast<double>(config.model.sequence);
  for (std::string word; std::cin >> word;) {
    int count = 0;
    std::cin >> count;
    ecp::require((word == "steps" || word == "gemm") && count > 0,
                 "expected steps or gemm and a number, got '{}'", word);
    if (word == "gemm") {
      std::cout << nlohmann::json{{"gflops", ceiling.operations() / ceiling.seconds(count) * 1e-9}}
                << std::endl;
      continue;
    }
    const auto start = std::chrono::steady_clock::now();
    const double cpu_start = cpu_seconds();
    double loss = 0;
    for (int i = 0; i < count; ++i) loss = training.step();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::cout << nlohmann::json{{"seconds", seconds},
                                {"cpu_seconds", cpu_seconds() - cpu_start},
                                {"tokens", training.tokens_per_step() * count},
                                {"gflops",
                                 operations_per_token * training.tokens_per_step() * count / seconds * 1e-9},
                                {"peak_memory", ecp::peak_memory()},
                                {"loss", loss}}
              << std::endl;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  ecp::ops::reuse_tensor_memory();  // as ecp-torch does
  try {
    return run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << "bench_train_step: error: " << error.what() << '\n';
    return 1;
  }
}
