#include "ecp/probes/probe.h"

#include <algorithm>
#include <utility>

#include "ecp/base/error.h"
#include "ecp/base/suggest.h"
#include "ecp/probes/tasks.h"

namespace ecp {

Probe::Probe(ProbeSettings settings, ProbeFacts facts)
    : settings_(std::move(settings)), facts_(std::move(facts)) {
  auto& [task, sequence, nearest, farthest, items] = settings_;
  const std::int64_t least = facts_.least_distance, most = facts_.most_distance;
  require(least <= most,
          "data.probe \"{}\" with {} items doesn't fit into {} tokens: expected a longer model.sequence or a "
          "smaller data.probe_items",
          task, items, sequence);
  if (nearest == 0) nearest = least;
  if (farthest == 0) farthest = most;
  require(nearest >= least && nearest <= most,
          "data.probe_nearest: expected {} to {} (\"{}\" with {} items in {} tokens), got {}", least, most,
          task, items, sequence, nearest);
  require(farthest >= nearest && farthest <= most,
          "data.probe_farthest: expected {} to {} (\"{}\" with {} items in {} tokens), got {}", nearest, most,
          task, items, sequence, farthest);
}

std::string Probe::description() const {
  return fmt::format("{} of {} items at distances {} to {} in {} tokens", settings_.task, settings_.items,
                     settings_.nearest, settings_.farthest, settings_.sequence);
}

ProbeExample Probe::at(std::int64_t distance, std::uint64_t seed, std::uint64_t number) const {
  require(distance >= facts_.least_distance && distance <= facts_.most_distance,
          "distance: expected {} to {} (\"{}\" with {} items in {} tokens), got {}", facts_.least_distance,
          facts_.most_distance, settings_.task, settings_.items, settings_.sequence, distance);
  return asking(distance, seed, number);
}

std::unique_ptr<Probe> make_probe(const ProbeSettings& settings) {
  for (const std::int64_t value : {settings.sequence, settings.nearest, settings.farthest, settings.items})
    require(value >= 0 && value <= INT32_MAX, "probe: expected sizes of 0 to {}, got {}", INT32_MAX, value);
  if (settings.task == "passkey") return make_passkey(settings);
  if (settings.task == "recall") return make_recall(settings);
  if (settings.task == "listops") return make_listops(settings);
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
