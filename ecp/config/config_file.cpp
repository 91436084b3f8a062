#include "ecp/config/config_file.h"

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "ecp/base/error.h"
#include "ecp/base/suggest.h"
#include "ecp/config/toml.h"

namespace ecp {
namespace {

constexpr std::size_t largest_file = 16 << 20;

/// The sections of a Config by name.
class Sections {
 public:
  explicit Sections(Config& config) { config.visit(*this); }

  template <class Struct>
  void section(std::string_view name, Struct& part) {
    all.emplace_back(name, FieldList(part).fields);
  }

  const std::vector<Field>& find(std::string_view name, const std::string& where) const {
    std::vector<std::string> names;
    for (const auto& [known, fields] : all) {
      if (known == name) return fields;
      names.push_back(known);
    }
    fail("{}: unknown section [{}]{}", where, name, did_you_mean(name, names));
  }

  std::vector<std::pair<std::string, std::vector<Field>>> all;
};

/// One assignment from a file or the command line, kept until the preset is known.
struct Assignment {
  std::string section, key, where;
  std::function<RawValue(const Field&)> value;
};

std::vector<Assignment> read_toml(std::string_view text, std::string_view name) {
  std::vector<Assignment> all;
  for (const TomlTable& table : parse_toml(text, name)) {
    require(table.item == 0, "{}: expected one section [{}], got a list of them, [[{}]]", table.where,
            table.name, table.name);
    for (const auto& [key, raw] : table.fields)
      all.push_back({table.name, key, raw.where, [raw = raw](const Field&) { return raw; }});
    if (table.fields.empty()) all.push_back({table.name, "", table.where, {}});
  }
  return all;
}

Assignment read_override(const std::string& text) {
  Override split = split_override(text);
  return {split.section, split.key, "--set",
          [split](const Field& field) { return parse_override(field, split.section, split.value); }};
}

void apply(const Sections& sections, const Assignment& assignment) {
  const std::vector<Field>& fields = sections.find(assignment.section, assignment.where);
  if (assignment.key.empty()) return;
  const Field& field = find_field(fields, assignment.section, assignment.key, assignment.where);
  assign(field, assignment.section, assignment.value(field));
}

/// Fields of [model] that decide what other fields start from; they must be known first.
bool decides_others(std::string_view key) {
  return key == "preset" || key == "architecture" || key == "classes";
}
bool decides_others(const Assignment& assignment) {
  return assignment.section == "model" && decides_others(assignment.key);
}

RawValue raw_value(const nlohmann::json& value, const std::string& where) {
  if (value.is_boolean()) return {value.get<bool>(), where};
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX) {
    return {value.get<double>(), where};
  }
  if (value.is_number_integer()) return {value.get<std::int64_t>(), where};
  if (value.is_number()) return {value.get<double>(), where};
  if (value.is_string()) return {value.get<std::string>(), where};
  fail("{}: expected a number, a string, true or false, got {}", where, value.type_name());
}

/// Writes fields as TOML or JSON lines.
class JsonSection {
 public:
  explicit JsonSection(const std::vector<Field>& fields) {
    for (const Field& field : fields) {
      std::visit([&](auto* value) { json[field.name] = *value; }, field.value);
    }
  }
  nlohmann::ordered_json json;
};

}  // namespace

Override split_override(const std::string& text) {
  const auto equals = text.find('=');
  const auto point = text.find('.');
  require(equals != std::string::npos && point != std::string::npos && point < equals,
          "--set: expected section.key=value, got '{}'", text);
  return {text.substr(0, point), text.substr(point + 1, equals - point - 1), text.substr(equals + 1)};
}

Config parse_config(std::string_view text, std::string_view name, const std::vector<std::string>& overrides) {
  std::vector<Assignment> assignments = read_toml(text, name);
  for (const std::string& text_of_override : overrides)
    assignments.push_back(read_override(text_of_override));

  Config config;
  const Sections sections(config);
  for (const Assignment& assignment : assignments) {
    if (decides_others(assignment)) apply(sections, assignment);
  }
  apply_preset(config.model);
  for (const Assignment& assignment : assignments) {
    if (!decides_others(assignment)) apply(sections, assignment);
  }
  try {
    config.validate();
  } catch (const Error& error) {
    fail("{}: {}", name, error.what());
  }
  return config;
}

Config read_config(const Path& path, const std::vector<std::string>& overrides) {
  return parse_config(read_small_file(path, largest_file), path.string(), overrides);
}

std::string to_toml(const Config& config, bool help) {
  Config copy = config;  // the visitor takes pointers to mutable fields
  std::string text;
  for (const auto& [name, fields] : Sections(copy).all) {
    text += fmt::format("{}[{}]\n", text.empty() ? "" : "\n", name);
    for (const Field& field : fields) {
      if (help) {
        text += "# " + field.help;
        if (!field.choices.empty()) text += " (" + alternatives(field.choices) + ")";
        text += '\n';
      }
      text += fmt::format("{} = {}\n", field.name, to_toml(field));
    }
  }
  return text;
}

std::string to_json(const ModelConfig& config) {
  ModelConfig copy = config;
  const nlohmann::ordered_json json = {
      {"format", "ecp-model"}, {"version", 1}, {"model", JsonSection(FieldList(copy).fields).json}};
  return json.dump(2) + "\n";
}

ModelConfig parse_model_json(std::string_view text, std::string_view name) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  require(!json.is_discarded() && json.is_object(), "{}: expected a JSON object", name);
  require(
      json.value("format", nlohmann::json()) == "ecp-model" && json.value("version", nlohmann::json()) == 1,
      "{}: expected \"format\": \"ecp-model\" and \"version\": 1", name);
  const auto model = json.find("model");
  require(model != json.end() && model->is_object(), "{}: expected an object \"model\"", name);

  ModelConfig config;
  const std::vector<Field> fields = FieldList(config).fields;
  const auto apply_if = [&](auto wanted) {
    for (const auto& [key, value] : model->items()) {
      if (!wanted(key)) continue;
      assign(find_field(fields, "model", key, std::string(name)), "model",
             raw_value(value, std::string(name)));
    }
  };
  apply_if([](const std::string& key) { return decides_others(key); });
  apply_preset(config);
  apply_if([&](const std::string& key) { return !decides_others(key); });
  try {
    config.validate();
  } catch (const Error& error) {
    fail("{}: {}", name, error.what());
  }
  return config;
}

}  // namespace ecp
