#include "ecp/probes/probe.h"

#include <algorithm>
#include <utility>

#include "ecp/base/error.h"
#include "ecp/base/suggest.h"
#include "ecp/probes/tasks.h"

namespace ecp {

Probe::Probe(ProbeSettings settings, std::int64_t items) : settings_(std::move(settings)) {
  if (settings_.items == 0) settings_.items = items;
  constexpr std::int64_t most = INT32_MAX;  // products of two don't overflow
  for (const std::int64_t value :
       {settings_.sequence, settings_.nearest, settings_.farthest, settings_.items})
    require(value >= 0 && value <= most, "probe: expected sizes of 0 to {}, got {}", most, value);
}

void Probe::check() {
  const std::int64_t least = least_distance(), most = most_distance();
  require(least <= most,
          "data.probe \"{}\" with {} items doesn't fit into {} tokens: expected a longer model.sequence or a "
          "smaller data.probe_items",
          settings_.task, settings_.items, settings_.sequence);
  if (settings_.nearest == 0) settings_.nearest = least;
  if (settings_.farthest == 0) settings_.farthest = most;
  require(settings_.nearest >= least && settings_.nearest <= most,
          "data.probe_nearest: expected {} to {} (\"{}\" with {} items in {} tokens), got {}", least, most,
          settings_.task, settings_.items, settings_.sequence, settings_.nearest);
  require(settings_.farthest >= settings_.nearest && settings_.farthest <= most,
          "data.probe_farthest: expected {} to {} (\"{}\" with {} items in {} tokens), got {}",
          settings_.nearest, most, settings_.task, settings_.items, settings_.sequence, settings_.farthest);
}

void Probe::require_distance(std::int64_t distance) const {
  require(distance >= least_distance() && distance <= most_distance(),
          "distance: expected {} to {} (\"{}\" with {} items in {} tokens), got {}", least_distance(),
          most_distance(), settings_.task, settings_.items, settings_.sequence, distance);
}

std::string Probe::description() const {
  return fmt::format("{} of {} items at distances {} to {} in {} tokens", settings_.task, settings_.items,
                     settings_.nearest, settings_.farthest, settings_.sequence);
}

std::unique_ptr<Probe> make_probe(const ProbeSettings& settings) {
  if (settings.task == "passkey") return std::make_unique<Passkey>(settings);
  if (settings.task == "recall") return std::make_unique<Recall>(settings);
  if (settings.task == "listops") return std::make_unique<ListOps>(settings);
  const std::vector<std::string> tasks{"passkey", "recall", "listops"};
  fail("unknown probe '{}'{}", settings.task, did_you_mean(settings.task, tasks));
}

std::vector<std::int64_t> even_distances(std::int64_t first, std::int64_t last, std::int64_t count) {
  require(first <= last && count >= 1, "distances: expected some from {} to {}, got {}", first, last, count);
  const std::int64_t steps = std::min(count - 1, last - first);
  std::vector<std::int64_t> distances{first};
  for (std::int64_t i = 1; i <= steps; ++i)
    distances.push_back(first +
                        static_cast<std::int64_t>(static_cast<double>(last - first) * static_cast<double>(i) /
                                                  static_cast<double>(steps)));
  return distances;
}

}  // namespace ecp
