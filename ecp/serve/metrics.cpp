#include "ecp/serve/metrics.h"

#include <fmt/format.h>

#include <algorithm>

#include "ecp/base/system.h"

namespace ecp::serve {
namespace {

void head(std::string& out, const char* name, const char* type, const char* help) {
  out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

template <class Number>
void metric(std::string& out, const char* name, const char* type, const char* help, Number value) {
  head(out, name, type, help);
  out += fmt::format("{} {}\n", name, value);
}

}  // namespace

void Histogram::add(double seconds) {
  const auto bound = std::lower_bound(bounds.begin(), bounds.end(), seconds);
  ++counts_[static_cast<std::size_t>(bound - bounds.begin())];
  sum_ += seconds;
}

void Histogram::write(std::string& out, const std::string& name, const std::string& help) const {
  head(out, name.c_str(), "histogram", help.c_str());
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    count += counts_[i];
    const std::string bound = i < bounds.size() ? fmt::format("{}", bounds[i]) : "+Inf";
    out += fmt::format("{}_bucket{{le=\"{}\"}} {}\n", name, bound, count);
  }
  out += fmt::format("{}_sum {}\n{}_count {}\n", name, sum_, name, count);
}

void Metrics::request(const std::string& path, int status) {
  const std::lock_guard lock(mutex_);
  ++requests_[{path, status}];
}

void Metrics::first_token(double seconds) {
  const std::lock_guard lock(mutex_);
  first_token_.add(seconds);
}

void Metrics::completion(double seconds) {
  const std::lock_guard lock(mutex_);
  completion_.add(seconds);
}

std::string Metrics::text(const SchedulerState& state, std::int64_t connections) const {
  std::string out;
  const std::lock_guard lock(mutex_);
  head(out, "ecp_requests_total", "counter", "Requests by path and the status of their answer.");
  for (const auto& [what, count] : requests_) {
    out +=
        fmt::format("ecp_requests_total{{path=\"{}\",status=\"{}\"}} {}\n", what.first, what.second, count);
  }
  metric(out, "ecp_connections", "gauge", "Open connections.", connections);
  metric(out, "ecp_slots", "gauge", "Texts that can be in work at once.", state.slots);
  metric(out, "ecp_slots_busy", "gauge", "Slots taken.", state.active);
  metric(out, "ecp_queue", "gauge", "Requests that wait for slots.", state.waiting);
  metric(out, "ecp_prompt_tokens_total", "counter", "Tokens of prompts read.", state.prompt_tokens);
  metric(out, "ecp_generated_tokens_total", "counter", "Tokens generated.", state.generated_tokens);
  metric(out, "ecp_steps_total", "counter", "Steps, each a token of every text in work.", state.steps);
  metric(out, "ecp_cancelled_total", "counter", "Requests whose clients went.", state.cancelled);
  metric(out, "ecp_cache_bytes", "gauge", "Memory of the caches of texts in work.", state.cache_bytes);
  metric(out, "ecp_resident_memory_bytes", "gauge", "Resident memory of the process.", resident_memory());
  first_token_.write(out, "ecp_first_token_seconds", "From a request to its first token.");
  completion_.write(out, "ecp_completion_seconds", "From a request to the end of its texts.");
  return out;
}

}  // namespace ecp::serve
