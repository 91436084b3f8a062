#include "ecp/serve/model_description.h"

#include "ecp/config/attention_plan.h"
#include "ecp/config/stream_reach.h"

namespace ecp::serve {
namespace {

using json = nlohmann::ordered_json;

json attention_of(const ModelConfig& config) {
  json groups = json::array();
  for (const HeadGroup& group : head_groups(config)) {
    groups.push_back({{"pattern", group.pattern.kind_name()},
                      {"parameters", group.pattern.parameters()},
                      {"heads", group.heads}});
  }
  return groups;
}

/// Null where every row sees all before it.
json reach_of(const ModelConfig& config) {
  const StreamReach reach = stream_reach(config);
  if (reach.period == 0) return nullptr;
  json tiles = json::array();
  for (const ReachTile& tile : reach.tiles) tiles.push_back({{"begin", tile.begin}, {"first", tile.first}});
  return {{"period", reach.period}, {"tiles", std::move(tiles)}};
}

}  // namespace

json model_description(const ModelConfig& config, const std::string& name, std::int64_t created,
                       const CompletionLimits& limits) {
  return {{"id", name},
          {"object", "model"},
          {"created", created},
          {"owned_by", "ecp"},
          {"architecture", config.architecture},
          {"preset", config.preset},
          {"layers", config.layers},
          {"trained_length", config.sequence},
          {"vocabulary", config.vocab},
          {"attention", attention_of(config)},
          {"reach", reach_of(config)},
          {"holds_positions", config.holds_positions()},
          {"max_context", limits.context > 0 ? json(limits.context) : json()},
          {"max_tokens", limits.max_tokens},
          {"max_prompt_tokens", limits.prompt_tokens}};
}

}  // namespace ecp::serve
