#include "ecp/train/run_comparison.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "ecp/train/run_folder.h"
#include "ecp/weights/checkpoint.h"

namespace ecp {
namespace {

using Json = nlohmann::json;

Compared compare_tensors(std::string what, const Path& a, const Path& b) {
  const SafetensorsFile first(a), second(b);
  Compared result{std::move(what), fmt::format("{} tensors", first.tensors().size()), {}};
  if (first.tensors().size() != second.tensors().size()) {
    result.difference = fmt::format("{} tensors, then {}", first.tensors().size(), second.tensors().size());
    return result;
  }
  for (const auto& [name, view] : first.tensors()) {
    const TensorView& other = second.at(name);
    const bool same =
        view.dtype == other.dtype && view.shape == other.shape &&
        std::equal(view.bytes.begin(), view.bytes.end(), other.bytes.begin(), other.bytes.end());
    if (!same) {
      result.difference = fmt::format("tensor '{}' differs", name);
      return result;
    }
  }
  return result;
}

Compared compare_json(std::string what, std::string size, const Json& a, const Json& b) {
  Compared result{std::move(what), std::move(size), {}};
  const Json patch = Json::diff(a, b);
  if (!patch.empty()) {
    const auto path = patch.front()["path"].get<std::string>();
    const auto value = [&](const Json& json) {
      const Json::json_pointer pointer(path);
      return json.contains(pointer) ? json.at(pointer).dump() : "nothing";
    };
    result.difference = fmt::format("{}: {}, then {}", path, value(a), value(b));
  }
  return result;
}

Json read_state(const Path& checkpoint) {
  Json state = Json::parse(read_file(checkpoint / "state.json"));
  state.erase("seconds");
  state["since_line"].erase("seconds");
  return state;
}

Json read_metrics(const Path& path) {
  Json lines = Json::array();
  const std::string content = read_file(path);
  for (std::size_t begin = 0; begin < content.size();) {
    const std::size_t end = std::min(content.find('\n', begin), content.size());
    Json line = Json::parse(std::string_view(content).substr(begin, end - begin));
    for (const char* clock : {"seconds", "tokens_per_second", "peak_memory"}) line.erase(clock);
    lines.push_back(std::move(line));
    begin = end + 1;
  }
  return lines;
}

}  // namespace

std::vector<Compared> compare_runs(const Path& a, const Path& b) {
  const RunFolder first(a), second(b);
  const Path last = Path("checkpoints") / "last";
  const Checkpoint whole(a / last), other(b / last);  // verified
  std::vector<Compared> all;
  all.push_back(compare_tensors("weights", a / last / "model.safetensors", b / last / "model.safetensors"));
  all.push_back(compare_tensors("optimizer moments", a / last / "optimizer.safetensors",
                                b / last / "optimizer.safetensors"));
  Json before = read_state(a / last), after = read_state(b / last);
  const Json data_before = before["data"], data_after = after["data"];
  before.erase("data");
  after.erase("data");
  all.push_back(
      compare_json("data position", fmt::format("{} files", data_before.size()), data_before, data_after));
  all.push_back(compare_json("training state", fmt::format("{} fields", before.size()), before, after));
  const Json lines = read_metrics(first.metrics());
  all.push_back(
      compare_json("metrics", fmt::format("{} lines", lines.size()), lines, read_metrics(second.metrics())));
  return all;
}

}  // namespace ecp
