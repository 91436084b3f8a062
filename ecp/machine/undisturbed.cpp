#include "ecp/machine/undisturbed.h"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <thread>

namespace ecp {
namespace {

double loop_rate(int cpu) {
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET(cpu, &only);
  sched_setaffinity(0, sizeof only, &only);  // on failure the loop runs anywhere, which tells less
  constexpr int passes = 4'000'000;
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  for (int i = 0; i < passes; ++i) asm volatile("");
  return passes / std::max(std::chrono::duration<double>(Clock::now() - begin).count(), 1e-9);
}

/// Passes per second of an empty loop on each processor, all at the same time.
std::vector<double> loop_rates() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &allowed)) cpus.push_back(cpu);
    }
  }
  std::vector<double> rates(cpus.size());
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < cpus.size(); ++i) {
      threads.emplace_back([&rates, &cpus, i] { rates[i] = loop_rate(cpus[i]); });
    }
  }
  return rates;
}

}  // namespace

Undisturbed::Undisturbed() {
  constexpr int looks = 40;  // for a second: others may use a core for as long as that
  for (int i = 0; i < looks; ++i) {
    (*this)();
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
  }
}

bool Undisturbed::operator()() {
  const std::vector<double> rates = loop_rates();
  fastest_.resize(rates.size());
  bool all = true;
  for (std::size_t i = 0; i < rates.size(); ++i) {
    fastest_[i] = std::max(fastest_[i], rates[i]);
    all = all && rates[i] >= least_share * fastest_[i];
  }
  return all;
}

}  // namespace ecp
