// What a server did, in Prometheus' text format.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "ecp/runtime/scheduler.h"

namespace ecp::serve {

/// How many values were at most each bound.
class Histogram {
 public:
  void add(double seconds);
  /// Lines of metric `name`, which is in seconds.
  void write(std::string& out, const std::string& name, const std::string& help) const;

 private:
  static constexpr std::array bounds{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                     1.0,   2.5,  5.0,   10.0, 30., 60.0, 300.0};
  std::array<std::uint64_t, bounds.size() + 1> counts_{};
  double sum_ = 0;
};

/// Thread-safe.
class Metrics {
 public:
  void request(const std::string& path, int status);
  void first_token(double seconds);
  void completion(double seconds);
  [[nodiscard]] std::string text(const SchedulerState& state, std::int64_t connections) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, std::uint64_t> requests_;
  Histogram first_token_, completion_;
};

}  // namespace ecp::serve
