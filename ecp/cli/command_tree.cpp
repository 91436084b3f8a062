#include "ecp/cli/command_tree.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <utility>

#include "ecp/base/error.h"

namespace ecp::cli {
namespace {

using Json = nlohmann::ordered_json;

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == separator) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

OptionInfo describe(const CLI::Option& option) {
  OptionInfo info;
  for (const std::string& name : option.get_snames()) info.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) info.names.push_back("--" + name);
  info.help = option.get_description();
  info.required = option.get_required();
  info.environment = option.get_envname();
  if (option.get_type_size() == 0 || option.get_expected_max() == 0) return info;  // a flag
  // "TYPE:{one,two}:FILE": the type's name and those of the checks.
  const std::vector<std::string> parts = split(option.get_type_name(), ':');
  for (std::size_t i = 1; i < parts.size(); ++i) {
    if (parts[i].starts_with("{")) info.choices = split(parts[i].substr(1, parts[i].size() - 2), ',');
  }
  info.value = parts.front();
  const bool generic = info.value.empty() || info.value == "TEXT" || info.value == "INT" ||
                       info.value == "UINT" || info.value == "FLOAT";
  if (generic && option.get_positional()) info.value = option.get_name(true);
  if (info.value == "INT" || info.value == "UINT") info.value = "N";
  if (info.value == "FLOAT") info.value = "X";
  if (info.value.empty()) info.value = "TEXT";
  info.standard = option.get_default_str();
  const bool all = option.get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll;
  info.repeats = option.get_items_expected_max() > 1 || all;
  info.many = option.get_items_expected_max() > 1 && option.get_allow_extra_args();
  return info;
}

CommandInfo describe(const CLI::App& app, const std::string& path, const AskTorch& ask) {
  CommandInfo info;
  info.name = app.get_name();
  info.summary = app.get_description();
  info.footer = app.get_footer();
  if (app.get_prefix_command()) {
    const std::optional<CommandInfo> answer = ask ? ask(path) : std::nullopt;
    info.known = answer.has_value();
    if (answer) {
      info.options = answer->options;
      info.footer = answer->footer;
      info.commands = answer->commands;
    }
    return info;
  }
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_group().empty()) info.options.push_back(describe(*option));
  }
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App* s) { return !s->get_group().empty(); })) {
    const std::string name = sub->get_name();
    info.commands.push_back(describe(*sub, path.empty() ? name : path + " " + name, ask));
  }
  return info;
}

Json json_of(const CommandInfo& command) {
  Json options = Json::array(), commands = Json::array();
  for (const OptionInfo& option : command.options) {
    options.push_back({{"names", option.names},
                       {"value", option.value},
                       {"help", option.help},
                       {"default", option.standard},
                       {"environment", option.environment},
                       {"choices", option.choices},
                       {"required", option.required},
                       {"repeats", option.repeats},
                       {"many", option.many}});
  }
  for (const CommandInfo& sub : command.commands) commands.push_back(json_of(sub));
  return {{"name", command.name},
          {"summary", command.summary},
          {"footer", command.footer},
          {"options", options},
          {"commands", commands}};
}

CommandInfo command_of(const Json& json) {
  CommandInfo command;
  json.at("name").get_to(command.name);
  json.at("summary").get_to(command.summary);
  json.at("footer").get_to(command.footer);
  for (const Json& from : json.at("options")) {
    OptionInfo& option = command.options.emplace_back();
    from.at("names").get_to(option.names);
    from.at("value").get_to(option.value);
    from.at("help").get_to(option.help);
    from.at("default").get_to(option.standard);
    from.at("environment").get_to(option.environment);
    from.at("choices").get_to(option.choices);
    from.at("required").get_to(option.required);
    from.at("repeats").get_to(option.repeats);
    from.at("many").get_to(option.many);
  }
  for (const Json& sub : json.at("commands")) command.commands.push_back(command_of(sub));
  return command;
}

bool is_lower(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(),
                                      [](unsigned char c) { return std::islower(c) || std::isdigit(c); });
}

}  // namespace

CommandInfo describe(const CLI::App& app, const AskTorch& ask) { return describe(app, "", ask); }

const CommandInfo* find_command(const CommandInfo& root, std::string_view path) {
  if (path.empty()) return &root;
  const std::string_view name = path.substr(0, path.find(' '));
  for (const CommandInfo& command : root.commands) {
    if (command.name == name)
      return find_command(command, path.substr(std::min(path.size(), name.size() + 1)));
  }
  return nullptr;
}

ValueKinds kinds_of(const OptionInfo& option) {
  ValueKinds kinds;
  kinds.words = option.choices;
  if (!kinds.words.empty() || option.value.empty()) return kinds;
  for (std::string name : split(option.value, '|')) {  // "bytes|PATH", "FILE.npy,..."
    name.resize(std::min(name.find(','), name.size()));
    const std::size_t dot = name.find('.');
    if (name == "[-]") {
      kinds.words.emplace_back("-");
    } else if (is_lower(name)) {
      kinds.words.push_back(name);
    } else if (name == "FILE" || name == "PATH" || name == "INPUT") {
      kinds.files = true;
    } else if (name == "FOLDER" || name == "RUN" || name == "CHECKPOINT") {
      kinds.folders = true;
    } else if (name == "CONFIG") {
      kinds.files = true;
      kinds.extension = ".toml";
    } else if (dot != std::string::npos && is_lower(name.substr(dot + 1))) {
      kinds.files = true;
      kinds.extension = name.substr(dot);
    } else if (name == "TEXT" && kinds.files) {  // "FILE.npy|TEXT"
      kinds.extension.clear();
    }
  }
  return kinds;
}

std::string to_json(const CommandInfo& command) { return json_of(command).dump(); }

CommandInfo command_from_json(const std::string& text) {
  try {
    return command_of(Json::parse(text));
  } catch (const Json::exception& error) {
    fail("ecp-torch: expected its commands as JSON, got '{}' ({})", text.substr(0, 60), error.what());
  }
}

}  // namespace ecp::cli
