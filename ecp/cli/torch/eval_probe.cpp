#include "ecp/cli/torch/eval_probe.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "ecp/base/error.h"
#include "ecp/cli/terminal.h"

namespace ecp::cli {
namespace {

constexpr std::int64_t distances_of_a_range = 32;

std::vector<std::int64_t> parse_one(const std::string& text, const Probe& probe) {
  std::vector<std::int64_t> numbers;
  const char *at = text.data(), *end = at + text.size();
  for (;;) {
    std::int64_t number = 0;
    const auto [after, error] = std::from_chars(at, end, number);
    const bool more = after != end && *after == ':';
    require(error == std::errc() && (after == end || more) && numbers.size() < 3,
            "--distances: expected D, FROM:TO or FROM:TO:STEP, got '{}'", text);
    numbers.push_back(number);
    if (!more) break;
    at = after + 1;
  }
  for (std::size_t i = 0; i < std::min<std::size_t>(2, numbers.size()); ++i)
    require(numbers[i] >= probe.facts().least_distance && numbers[i] <= probe.facts().most_distance,
            "--distances: expected {} to {} ({}), got {}", probe.facts().least_distance,
            probe.facts().most_distance, probe.description(), numbers[i]);
  if (numbers.size() == 1) return numbers;
  require(numbers[0] <= numbers[1] && (numbers.size() == 2 || numbers[2] >= 1),
          "--distances: expected FROM:TO[:STEP] with FROM <= TO and STEP >= 1, got '{}'", text);
  if (numbers.size() == 2) return even_distances(numbers[0], numbers[1], distances_of_a_range);
  std::vector<std::int64_t> all;
  for (std::int64_t distance = numbers[0]; distance <= numbers[1]; distance += numbers[2])
    all.push_back(distance);
  return all;
}

}  // namespace

std::vector<std::int64_t> parse_distances(const std::vector<std::string>& texts, const Probe& probe) {
  if (texts.empty())
    return even_distances(probe.facts().least_distance, probe.facts().most_distance, distances_of_a_range);
  std::vector<std::int64_t> all;
  for (const std::string& text : texts) {
    const std::vector<std::int64_t> some = parse_one(text, probe);
    all.insert(all.end(), some.begin(), some.end());
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

std::string probe_table(const ProbeCurve& curve) {
  std::vector<std::vector<std::string>> rows{{"distance", "right", "whole", "nats/answer", "examples"}};
  for (const ProbePoint& point : curve.points)
    rows.push_back(
        {fmt::format("{}{}", point.distance, point.distance > curve.reach ? " (beyond reach)" : ""),
         fmt::format("{:.1f} %", 100 * point.accuracy), fmt::format("{:.1f} %", 100 * point.whole),
         fmt::format("{:.4f}", point.loss), std::to_string(point.examples)});
  return format_table(rows) +
         fmt::format("\n{}; distance: {}\nThe last row sees {} tokens back; guessing gets {:.1f} % right.\n",
                     curve.probe, curve.distance_means, curve.reach, 100 * curve.chance);
}

}  // namespace ecp::cli
