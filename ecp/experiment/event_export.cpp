#include "ecp/experiment/event_export.h"

#include <ctime>
#include <nlohmann/json.hpp>
#include <string_view>

#include "ecp/experiment/event_file.h"

namespace ecp {
namespace {

double first_start(const Run& run) {
  std::tm parts{};
  if (run.starts.empty() || ::strptime(run.starts[0].time.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts) == nullptr)
    return 0;
  return static_cast<double>(::timegm(&parts));
}

}  // namespace

Path export_events(const Run& run, const Path& folder) {
  make_folders(folder);
  const MappedFile metrics(run.folder / "metrics.jsonl");
  EventFile file(folder, 0);
  const double start = first_start(run);
  double seconds = 0;
  for (std::string_view rest = metrics.text(); !rest.empty();) {
    const auto end = rest.find('\n');
    const auto line = nlohmann::ordered_json::parse(rest.substr(0, end), nullptr, false);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (!line.is_object()) continue;
    if (const auto at = line.find("seconds"); at != line.end() && at->is_number())
      seconds = at->get<double>();
    file.add(events_of(line), start + seconds);
  }
  file.flush();
  return file.path();
}

}  // namespace ecp
