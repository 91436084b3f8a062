#include "ecp/train/metrics_log.h"

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "ecp/base/error.h"

namespace ecp {

bool MetricsLog::add(const nlohmann::ordered_json& line) {
  waiting_ += line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  waiting_ += '\n';
  if (events_) events_->add(line);
  try {
    append_lines(path_, waiting_);
  } catch (const NoSpace&) {
    return false;
  }
  waiting_.clear();
  return true;
}

void MetricsLog::flush() {
  append_lines(path_, waiting_);
  waiting_.clear();
  sync_file(path_);
  if (events_) events_->flush();
}

std::optional<std::string> MetricsLog::rewind(std::int64_t step,
                                              const std::function<bool(std::string_view)>& is_undone) const {
  if (!std::filesystem::exists(path_)) return std::nullopt;
  std::optional<std::string> warning;
  const std::string content = read_file(path_);
  std::string kept;
  std::int64_t number = 0;
  for (std::size_t begin = 0; begin < content.size();) {
    ++number;
    const std::size_t end = content.find('\n', begin);
    if (end == std::string::npos) break;  // cut off while it was written
    const std::string_view line = std::string_view(content).substr(begin, end - begin);
    begin = end + 1;
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer()) {
      const std::string message =
          fmt::format("{}:{}: expected a JSON object with a whole number \"step\"", path_.string(), number);
      require(number > 1, "{}", message);
      const Path old = path_.string() + ".damaged";
      write_file(old, content);
      warning = fmt::format("{}; dropped from there on, all of it is in '{}'", message, old.string());
      break;
    }
    const auto at = json["step"].get<std::int64_t>();
    const auto kind = json.find("kind");
    const bool undone = at == step && is_undone && kind != json.end() && kind->is_string() &&
                        is_undone(kind->get_ref<const std::string&>());
    if (at <= step && !undone) kept.append(line).push_back('\n');
  }
  if (kept != content) write_file(path_, kept);
  return warning;
}

}  // namespace ecp
