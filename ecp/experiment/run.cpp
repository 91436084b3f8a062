#include "ecp/experiment/run.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "ecp/base/error.h"

namespace ecp {
namespace {

constexpr std::size_t largest_metrics = std::size_t{4} << 30;
constexpr std::size_t largest_file = 16 << 20;

using Json = nlohmann::ordered_json;

std::string text_or(const Json& object, const char* key, const char* otherwise) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : otherwise;
}

double number_or_nan(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : NAN;
}

RunStart start_of(const Json& json) {
  RunStart start;
  const double step = number_or_nan(json, "step");
  if (step >= 0 && step < 1e18) start.step = static_cast<std::int64_t>(step);
  start.time = text_or(json, "time", "");
  start.program = fmt::format("{} ({})", text_or(json, "version", "?"), text_or(json, "commit", "?"));
  const double threads = number_or_nan(json, "threads");
  if (!std::isnan(threads)) start.program += fmt::format(", {:g} threads", threads);
  if (const std::string cpu = text_or(json, "cpu", ""); !cpu.empty()) start.program += ", " + cpu;
  return start;
}

void add_facts(Run& run, const Path& file) {
  run.facts = {read_json_facts(file)};
  const Json json = Json::parse(read_small_file(file, largest_file), nullptr, false);
  run.parameters = number_or_nan(json, "parameters");
  run.tokens_per_step = number_or_nan(json, "tokens_per_step");
  const auto starts = json.find("starts");
  if (starts == json.end() || !starts->is_array()) return;
  for (const Json& start : *starts) {
    if (start.is_object()) run.starts.push_back(start_of(start));
  }
}

/// Does `work`, which may find something that can't be read.
template <class Work>
void noting(Run& run, Work work) {
  try {
    work();
  } catch (const Error& error) {
    run.notes.emplace_back(error.what());
  }
}

void add_evaluations(Run& run) {
  const Path folder = run.folder / "evaluations", baselines = folder / "baselines.json";
  std::vector<Path> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const Path& path = entry.path();
    if (path.extension() == ".json" && path != baselines) files.push_back(path);
  }
  std::sort(files.begin(), files.end());
  for (const Path& file : files) {
    noting(run, [&] {
      for (NamedEvaluation& evaluation : read_evaluations(file))
        run.evaluations.push_back(std::move(evaluation));
    });
  }
  if (!std::filesystem::exists(baselines, error)) return;
  noting(run, [&] {
    for (NamedEvaluation& baseline : read_baselines(baselines))
      run.evaluations.push_back(std::move(baseline));
  });
}

Path normal(const Path& folder) {
  const Path absolute = std::filesystem::absolute(folder).lexically_normal();
  return absolute.has_filename() ? absolute : absolute.parent_path();
}

/// The last `count` parts of a path.
std::string tail(const Path& path, std::size_t count) {
  std::vector<Path> parts(path.begin(), path.end());
  Path result;
  for (std::size_t i = parts.size() - std::min(count, parts.size()); i < parts.size(); ++i)
    result /= parts[i];
  return result.string();
}

}  // namespace

std::string Run::setting(const std::string& section, const std::string& key) const {
  for (const Facts& one : config) {
    if (one.section != section) continue;
    for (const auto& [field, value] : one.rows) {
      if (field == key) return value;
    }
  }
  return "";
}

Run read_run(const Path& folder) {
  require(std::filesystem::is_directory(folder), "cannot report on '{}': expected a run folder",
          folder.string());
  Run run;
  run.folder = folder;
  run.name = tail(normal(folder), 1);
  run.parameters = run.tokens_per_step = NAN;
  const Path metrics = folder / "metrics.jsonl";
  require(std::filesystem::exists(metrics),
          "cannot report on '{}': expected a run folder, with metrics.jsonl in it", folder.string());
  run.log = parse_metrics(read_small_file(metrics, largest_metrics), metrics.string());
  require(!run.log.train.empty() || !run.log.eval.empty(),
          "{}: expected at least one line of kind train or eval{}", metrics.string(),
          run.log.damaged == 0 ? "" : fmt::format(" ({})", run.log.first_damaged));
  if (run.log.damaged > 0) {
    run.notes.push_back(fmt::format("{} line{} of metrics.jsonl left out, the first: {}", run.log.damaged,
                                    run.log.damaged == 1 ? "" : "s", run.log.first_damaged));
  }
  const auto exists = [&](const char* name) {
    std::error_code error;
    return std::filesystem::exists(folder / name, error);
  };
  if (exists("config.toml")) noting(run, [&] { run.config = read_resolved_config(folder / "config.toml"); });
  if (exists("run.json")) noting(run, [&] { add_facts(run, folder / "run.json"); });
  if (exists("sample.txt"))
    noting(run, [&] { run.sample = read_small_file(folder / "sample.txt", largest_file); });
  add_evaluations(run);
  return run;
}

std::vector<Run> read_runs(const std::vector<Path>& folders) {
  std::vector<Run> runs;
  for (const Path& folder : folders) {
    for (const Run& other : runs) {
      require(normal(folder) != normal(other.folder), "cannot report on '{}' twice", folder.string());
    }
    runs.push_back(read_run(folder));
  }
  for (std::size_t parts = 2; parts < 64; ++parts) {
    std::map<std::string, int> count;
    for (const Run& run : runs) ++count[run.name];
    for (Run& run : runs) {
      if (count[run.name] > 1) run.name = tail(normal(run.folder), parts);
    }
  }
  return runs;
}

}  // namespace ecp
