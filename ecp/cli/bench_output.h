// What the benchmarks of both programs share: their options and how figures are shown.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "ecp/bench/bench.h"

namespace ecp::cli {

struct BenchOptions {
  int threads = 0, rounds = 7;
  bool json = false, requests = false;
};

void add_bench_options(CLI::App& command, BenchOptions& options);

/// Measures and prints, or answers requests. `name`: "attention".
void run_bench(const std::string& name, const Bench& bench, const BenchOptions& options);

}  // namespace ecp::cli
