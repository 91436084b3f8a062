// What a model answers of a probe's questions, by their distance: as JSON and as a page with a picture.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace ecp {

struct ProbePoint {
  std::int64_t distance = 0;
  double loss = 0;      // nats per answer
  double accuracy = 0;  // share of the answers whose token has the greatest logit, those before it given
  double whole = 0;     // share of the examples all of whose answers are right
  std::int64_t answers = 0, examples = 0;
};

struct ProbeCurve {
  std::string architecture;
  std::int64_t layers = 0;
  std::string probe;           // its description
  std::string distance_means;  // what a distance is
  double chance = 0;           // share of the answers that guessing gets right
  /// How many tokens before itself the last row can see through all layers: the intervals composed. A
  /// question farther away than this can't be answered.
  std::int64_t reach = 0;
  std::vector<ProbePoint> points;  // by distance
};

/// {"architecture", "layers", "probe", "chance", "reach", "points": [{the fields above}, ...]}.
nlohmann::ordered_json to_json(const ProbeCurve& curve);

/// An HTML page: accuracy against distance with the reach marked, and the table.
std::string probe_page(const ProbeCurve& curve);

}  // namespace ecp
