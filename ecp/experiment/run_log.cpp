#include "ecp/experiment/run_log.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "ecp/base/error.h"

namespace ecp {
namespace {

constexpr std::size_t largest_small_file = 16 << 20;
constexpr double none = std::numeric_limits<double>::quiet_NaN();

using Json = nlohmann::ordered_json;

/// A number, or NaN for null, which is how JSON says that a loss was not finite.
double number(const Json& object, const char* key, const std::string& where) {
  const auto value = object.find(key);
  require(value != object.end() && (value->is_number() || value->is_null()), "{}: expected a number '{}'",
          where, key);
  return value->is_null() ? none : value->get<double>();
}

double number_if_given(const Json& object, const char* key, const std::string& where) {
  return object.contains(key) ? number(object, key, where) : none;
}

std::string text(const Json& object, const char* key, const std::string& where) {
  const auto value = object.find(key);
  require(value != object.end() && value->is_string(), "{}: expected a string '{}'", where, key);
  return value->get<std::string>();
}

std::int64_t step_of(const Json& object, const std::string& where) {
  const auto value = object.find("step");
  require(value != object.end() && value->is_number_integer() && value->get<std::int64_t>() >= 0,
          "{}: expected a whole number 'step'", where);
  return value->get<std::int64_t>();
}

EvalFigures figures(const Json& object, const std::string& where) {
  EvalFigures result;
  result.loss = number_if_given(object, "loss", where);
  result.perplexity_token = number_if_given(object, "perplexity_token", where);
  result.perplexity_word = number_if_given(object, "perplexity_word", where);
  result.bits_per_byte = number_if_given(object, "bits_per_byte", where);
  result.accuracy = number_if_given(object, "accuracy", where);
  result.images = number_if_given(object, "images", where);
  result.tokens = number_if_given(object, "tokens", where);
  result.window = number_if_given(object, "window", where);
  result.context = number_if_given(object, "context", where);
  result.lossless = object.value("lossless", Json()) != false;
  return result;
}

template <class Point>
void add(std::vector<Point>& points, Point point) {
  while (!points.empty() && points.back().step >= point.step) points.pop_back();
  points.push_back(std::move(point));
}

void add_line(RunLog& log, const Json& line, const std::string& where) {
  require(line.is_object(), "{}: expected a JSON object", where);
  const std::string kind = text(line, "kind", where);
  if (kind == "train") {
    TrainPoint point{.step = step_of(line, where), .loss = number(line, "loss", where)};
    point.lr = number_if_given(line, "lr", where);
    point.grad_norm = number_if_given(line, "grad_norm", where);
    point.tokens_per_second = number_if_given(line, "tokens_per_second", where);
    point.seconds = number_if_given(line, "seconds", where);
    point.tokens = number_if_given(line, "tokens", where);
    point.peak_memory = number_if_given(line, "peak_memory", where);
    add(log.train, point);
  } else if (kind == "eval") {
    add(log.eval, {step_of(line, where), figures(line, where), number_if_given(line, "seconds", where)});
  } else if (kind == "sample") {
    add(log.samples, {step_of(line, where), text(line, "prompt", where), text(line, "text", where)});
  } else if (kind == "skip") {
    add(log.skipped, {step_of(line, where), line.contains("reason") ? text(line, "reason", where) : ""});
  }
}

Json read_object(const Path& file) {
  Json json = Json::parse(read_small_file(file, largest_small_file), nullptr, false);
  require(json.is_object(), "{}: expected a JSON object", file.string());
  return json;
}

void flatten(const Json& json, const std::string& name, Facts& facts, int depth = 0) {
  constexpr int deepest = 64;
  require(depth <= deepest, "{}: nested deeper than {} levels", facts.section, deepest);
  if (json.is_structured()) {
    for (const auto& [key, value] : json.items())
      flatten(value, name.empty() ? key : name + "." + key, facts, depth + 1);
  } else {
    facts.rows.emplace_back(name, json.is_string() ? json.get<std::string>() : json.dump());
  }
}

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

}  // namespace

RunLog parse_metrics(std::string_view content, std::string_view name) {
  RunLog log;
  for (std::size_t line = 1; !content.empty(); ++line) {
    const auto end = content.find('\n');
    const bool whole = end != std::string_view::npos;
    const std::string_view one = trimmed(content.substr(0, end));
    content.remove_prefix(whole ? end + 1 : content.size());
    if (one.empty()) continue;
    const Json json = Json::parse(one, nullptr, false);
    if (json.is_discarded() && !whole) break;  // the program ended while it wrote this line, or writes it
    try {
      add_line(log, json, fmt::format("{}:{}", name, line));
    } catch (const Error& error) {
      if (++log.damaged == 1) log.first_damaged = error.what();
    }
  }
  return log;
}

NamedEvaluation read_evaluation(const Path& file) {
  return {file.stem().string(), figures(read_object(file), file.string())};
}

std::vector<NamedEvaluation> read_evaluations(const Path& file) {
  const Json json = read_object(file);
  std::vector<NamedEvaluation> all;
  for (const char* part : {"train", "validation", "test"}) {
    if (const auto found = json.find(part); found != json.end() && found->is_object())
      all.push_back({fmt::format("{}, {}", file.stem().string(), part), figures(*found, file.string())});
  }
  if (all.empty()) all.push_back({file.stem().string(), figures(json, file.string())});
  return all;
}

std::vector<NamedEvaluation> read_baselines(const Path& file) {
  const Json json = read_object(file);
  const auto list = json.find("baselines");
  require(list != json.end() && list->is_array(), "{}: expected a list \"baselines\"", file.string());
  std::vector<NamedEvaluation> all;
  for (const Json& entry : *list) {
    const std::string where = fmt::format("{}: baseline {}", file.string(), all.size() + 1);
    require(entry.is_object(), "{}: expected a JSON object", where);
    all.push_back({text(entry, "name", where), figures(entry, where)});
  }
  return all;
}

std::vector<Facts> parse_resolved_config(std::string_view rest, std::string_view name) {
  std::vector<Facts> sections;
  for (std::size_t number = 1; !rest.empty(); ++number) {
    const auto end = rest.find('\n');
    const std::string_view line = trimmed(rest.substr(0, end));
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (line.empty() || line.front() == '#') continue;
    if (line.front() == '[' && line.back() == ']') {
      sections.push_back({std::string(line.substr(1, line.size() - 2)), {}});
      continue;
    }
    const auto equals = line.find('=');
    require(equals != std::string_view::npos && !sections.empty(), "{}:{}: expected [section] or key = value",
            name, number);
    sections.back().rows.emplace_back(trimmed(line.substr(0, equals)), trimmed(line.substr(equals + 1)));
  }
  return sections;
}

std::vector<Facts> read_resolved_config(const Path& file) {
  return parse_resolved_config(read_small_file(file, largest_small_file), file.string());
}

Facts read_json_facts(const Path& file) {
  Facts facts{file.filename().string(), {}};
  flatten(read_object(file), "", facts);
  return facts;
}

}  // namespace ecp
