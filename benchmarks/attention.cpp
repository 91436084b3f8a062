// A worker that times interval attention and the machine's own matrix products. benchmarks/attention.py
// starts it beside a peer and asks both in turn: each line "WHAT REPEATS" on standard input (WHAT: forward,
// backward, gemm) is answered by one JSON line.
//
//   bench_attention [name=value ...]     sequence, block (0: full), heads, width, dtype (float32, bfloat16),
//                                        layout (tokens, heads), threads
#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <chrono>
#include <cmath>
#include <functional>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "benchmarks/ceiling.h"
#include "ecp/base/error.h"
#include "ecp/base/system.h"
#include "ecp/ops/interval_attention.h"
#include "ecp/ops/tensor_memory.h"

namespace {

struct Settings {
  std::map<std::string, std::int64_t> sizes = {{"sequence", 8192}, {"block", 256}, {"heads", 6},
                                               {"width", 128},     {"batch", 1},   {"threads", 0}};
  bool bfloat16 = false;
  bool head_major = false;  // [H, n, d_h] in memory; else as the model lays it out, [n, H · d_h]

  explicit Settings(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
      const std::string argument = argv[i];
      const std::string name = argument.substr(0, argument.find('='));
      const std::string value = argument.substr(std::min(argument.size(), name.size() + 1));
      if (name == "dtype") {
        ecp::require(value == "float32" || value == "bfloat16",
                     "dtype: expected float32 or bfloat16, got '{}'", value);
        bfloat16 = value == "bfloat16";
      } else if (name == "layout") {
        ecp::require(value == "tokens" || value == "heads", "layout: expected tokens or heads, got '{}'",
                     value);
        head_major = value == "heads";
      } else {
        ecp::require(sizes.count(name) == 1, "unknown setting '{}'", name);
        sizes[name] = std::stoll(value);
      }
    }
  }
};

int run(int argc, char** argv) {
  Settings settings(argc, argv);
  auto& sizes = settings.sizes;
  at::set_num_threads(sizes["threads"] > 0 ? static_cast<int>(sizes["threads"]) : ecp::available_cpus());
  const std::int64_t n = sizes["sequence"];
  const auto random = [&] {
    const at::Tensor t = settings.head_major
                             ? at::randn({sizes["batch"], sizes["heads"], n, sizes["width"]}).transpose(1, 2)
                             : at::randn({sizes["batch"], n, sizes["heads"], sizes["width"]});
    return t.to(settings.bfloat16 ? at::kBFloat16 : at::kFloat).detach();
  };
  const at::Tensor q = random().set_requires_grad(true), k = random().set_requires_grad(true),
                   v = random().set_requires_grad(true), grad = random();
  const ecp::Pattern pattern = sizes["block"] > 0 ? ecp::Pattern::ecp(sizes["block"]) : ecp::Pattern::full();
  const double entries = static_cast<double>(pattern.entries(n).visible) *
                         static_cast<double>(sizes["batch"] * sizes["heads"] * sizes["width"]);
  ecp::benchmarks::Ceiling ceiling(settings.bfloat16);
  at::Tensor out;
  struct Work {
    std::function<void()> before, run;
    double operations;
  };
  const auto forward = [&] { out = ecp::ops::interval_attention(q, k, v, pattern).out; };
  const auto nothing = [] {};
  const std::map<std::string, Work> works = {
      {"gemm", {nothing, [&] { ceiling.seconds(1); }, ceiling.operations()}},
      {"forward", {nothing, forward, 4 * entries}},
      {"backward",
       {[&] {
          forward();
          for (const at::Tensor& t : {q, k, v}) t.mutable_grad().reset();
        },
        [&] { out.backward(grad); }, 10 * entries}},
  };
  for (std::string what; std::cin >> what;) {
    int repeats = 0;
    std::cin >> repeats;
    const auto work = works.find(what);
    ecp::require(work != works.end() && repeats > 0,
                 "expected forward, backward or gemm and a number, got '{}'", what);
    double seconds = 0;
    for (int i = 0; i < repeats; ++i) {
      work->second.before();
      const auto start = std::chrono::steady_clock::now();
      work->second.run();
      seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
    std::cout << nlohmann::json{{"seconds", seconds / repeats},
                                {"gflops", work->second.operations * repeats / seconds * 1e-9},
                                {"peak_memory", ecp::peak_memory()}}
              << std::endl;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  ecp::ops::reuse_tensor_memory();  // as ecp-torch does
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "bench_attention: error: " << error.what() << '\n';
    return 1;
  }
}
