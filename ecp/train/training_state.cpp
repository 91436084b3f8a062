#include "ecp/train/training_state.h"

#include <nlohmann/json.hpp>

#include "ecp/base/error.h"

namespace ecp {
namespace {

/// Reads members of a JSON object by name and type; messages name the file and the member.
class Members {
 public:
  Members(const nlohmann::json& json, std::string name) : json_(json), name_(std::move(name)) {
    require(json_.is_object(), "{}: expected a JSON object", name_);
  }

  [[nodiscard]] const nlohmann::json& at(const char* key) const {
    const auto found = json_.find(key);
    require(found != json_.end(), "{}: expected a member \"{}\"", name_, key);
    return *found;
  }
  [[nodiscard]] std::int64_t integer(const char* key) const {
    const nlohmann::json& value = at(key);
    require(value.is_number_integer() && value.get<double>() >= 0 && value.get<double>() < 0x1p62,
            "{}: {}: expected a whole number, at least 0", name_, key);
    return value.get<std::int64_t>();
  }
  [[nodiscard]] std::uint64_t count(const char* key) const {
    return static_cast<std::uint64_t>(integer(key));
  }
  [[nodiscard]] double number(const char* key) const {
    require(at(key).is_number(), "{}: {}: expected a number", name_, key);
    return at(key).get<double>();
  }
  [[nodiscard]] bool flag(const char* key) const {
    require(at(key).is_boolean(), "{}: {}: expected true or false", name_, key);
    return at(key).get<bool>();
  }
  [[nodiscard]] std::string text(const char* key) const {
    require(at(key).is_string(), "{}: {}: expected a string", name_, key);
    return at(key).get<std::string>();
  }
  [[nodiscard]] Members object(const char* key) const { return {at(key), fmt::format("{}: {}", name_, key)}; }

 private:
  const nlohmann::json& json_;
  std::string name_;
};

}  // namespace

std::vector<std::string> Build::differences(const Build& now) const {
  std::vector<std::string> all;
  const auto compare = [&](const char* what, const auto& before, const auto& after) {
    if (before != after) all.push_back(fmt::format("{}: {} before, {} now", what, before, after));
  };
  compare("program version", version, now.version);
  compare("program commit", commit, now.commit);
  compare("instruction sets", instruction_sets, now.instruction_sets);
  compare("threads", threads, now.threads);
  return all;
}

std::string to_json(const TrainingState& state) {
  nlohmann::ordered_json json = {{"format", "ecp-training-state"},
                                 {"version", 1},
                                 {"step", state.step},
                                 {"skipped", state.skipped},
                                 {"skipped_in_row", state.skipped_in_row},
                                 {"pending_evaluation", state.pending.evaluation},
                                 {"pending_sample", state.pending.sample},
                                 {"tokens", state.tokens},
                                 {"seconds", state.seconds},
                                 {"warmup_done", state.warmup_done}};
  json["best"] = nullptr;
  if (state.best) json["best"] = {{"step", state.best->step}, {"loss", state.best->score}};
  json["since_line"] = {{"loss", state.since_line.loss},
                        {"steps", state.since_line.steps},
                        {"seconds", state.since_line.seconds}};
  json["data"] = nlohmann::ordered_json::array();
  for (const TrainingState::Source& source : state.sources) {
    json["data"].push_back({{"hash", source.hash},
                            {"epoch", source.position.epoch},
                            {"index", source.position.index},
                            {"drawn", source.position.drawn}});
  }
  json["build"] = {{"version", state.build.version},
                   {"commit", state.build.commit},
                   {"instruction_sets", state.build.instruction_sets},
                   {"threads", state.build.threads}};
  return json.dump(2) + "\n";
}

TrainingState parse_training_state(std::string_view text, const std::string& name) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  require(json.is_object() && json.value("format", nlohmann::json()) == "ecp-training-state" &&
              json.value("version", nlohmann::json()) == 1,
          "{}: expected the training state of an ecp checkpoint, version 1", name);
  const Members members(json, name);
  TrainingState state;
  state.step = members.integer("step");
  state.skipped = members.integer("skipped");
  state.skipped_in_row = members.integer("skipped_in_row");
  require(state.skipped_in_row <= state.skipped && state.skipped <= state.step,
          "{}: expected skipped_in_row {} <= skipped {} <= step {}", name, state.skipped_in_row,
          state.skipped, state.step);
  state.pending = {members.flag("pending_evaluation"), members.flag("pending_sample")};
  state.tokens = members.count("tokens");
  state.seconds = members.number("seconds");
  state.warmup_done = members.number("warmup_done");
  if (!members.at("best").is_null()) {
    const Members best = members.object("best");
    state.best = {best.integer("step"), best.number("loss")};
  }
  const Members since = members.object("since_line");
  state.since_line = {since.number("loss"), since.integer("steps"), since.number("seconds")};
  require(members.at("data").is_array(), "{}: data: expected a list", name);
  for (const nlohmann::json& entry : members.at("data")) {
    const Members source(entry, name + ": data");
    state.sources.push_back(
        {source.text("hash"), {source.count("epoch"), source.count("index"), source.count("drawn")}});
  }
  const Members build = members.object("build");
  state.build = {build.text("version"), build.text("commit"), build.text("instruction_sets"),
                 build.integer("threads")};
  return state;
}

}  // namespace ecp
