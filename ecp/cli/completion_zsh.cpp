// Completion for zsh.
#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "ecp/cli/completion.h"

namespace ecp::cli {
namespace {

/// `text` with a backslash before each of `special`.
std::string guarded(const std::string& text, std::string_view special) {
  std::string out;
  for (const char c : text) {
    if (special.find(c) != special.npos) out += '\\';
    out += c;
  }
  return out;
}

std::string function_name(const std::string& path) {
  std::string name = path.empty() ? "_ecp" : "_ecp " + path;
  std::replace(name.begin(), name.end(), ' ', '_');
  return name;
}

/// What _arguments is to do for a value.
std::string action(const OptionInfo& option) {
  const ValueKinds kinds = kinds_of(option);
  std::vector<std::string> sources;  // as _alternative takes them
  std::string only;
  if (!kinds.words.empty()) {
    only = fmt::format("({})", fmt::join(kinds.words, " "));
    sources.push_back("words\\:value\\:" + only);
  }
  if (kinds.files) {
    only = kinds.extension.empty() ? "_files" : "_files -g \"*" + kinds.extension + "\"";
    sources.push_back("files\\:file\\:" +
                      std::string(kinds.extension.empty() ? "_files" : "_files -g *" + kinds.extension));
  }
  if (kinds.folders) {
    only = "_files -/";
    sources.emplace_back("folders\\:folder\\:_files -/");
  }
  if (sources.empty()) return " ";
  if (sources.size() == 1) return only;
  return fmt::format("_alternative \"{}\"", fmt::join(sources, "\" \""));
}

/// Specifications for _arguments, one for each name.
void add_specifications(std::vector<std::string>& specs, const OptionInfo& option, bool last) {
  const std::string value = guarded(option.value, ":\\");
  if (option.is_argument()) {
    const std::string place = option.repeats && last ? "*:" : option.required ? ":" : "::";
    specs.push_back(shell_word(place + value + ":" + action(option)));
    return;
  }
  const std::string help = "[" + guarded(option.help, "[]\\") + "]";
  const std::string others = option.repeats            ? "*"
                             : option.names.size() > 1 ? fmt::format("({})", fmt::join(option.names, " "))
                                                       : "";
  for (const std::string& name : option.names) {
    std::string spec = others + name;
    if (!option.value.empty()) spec += name.starts_with("--") ? "=" : "+";
    spec += help;
    if (!option.value.empty()) spec += ":" + value + ":" + action(option);
    specs.push_back(shell_word(spec));
  }
}

}  // namespace

std::string zsh_completion(const CommandInfo& root) {
  std::string out = "#compdef ecp\n# Completion for zsh, written by `ecp completion zsh`.\n";
  for_each_command(root, [&](const CommandInfo& command, const std::string& path) {
    std::vector<std::string> specs;
    for (const OptionInfo& option : command.options)
      add_specifications(specs, option, &option == &command.options.back());
    out += fmt::format("\n{}() {{\n", function_name(path));
    if (command.commands.empty()) {
      out += fmt::format("  _arguments -s -S : \\\n    {}\n}}\n", fmt::join(specs, " \\\n    "));
      return;
    }
    specs.emplace_back("'1:command:->command'");
    specs.emplace_back("'*::rest:->rest'");
    out += fmt::format(
        "  local context state line\n  typeset -A opt_args\n  local -a commands\n  _arguments -C -S : \\\n   "
        " {}\n"
        "  case $state in\n    command)\n      commands=(\n",
        fmt::join(specs, " \\\n    "));
    for (const CommandInfo& sub : command.commands)
      out += "        " + shell_word(sub.name + ":" + guarded(sub.summary, ":\\")) + "\n";
    out +=
        "      )\n      _describe -t commands command commands\n      ;;\n    rest)\n      case $line[1] "
        "in\n";
    for (const CommandInfo& sub : command.commands) {
      out += fmt::format("        {}) {} ;;\n", sub.name,
                         function_name(path.empty() ? sub.name : path + " " + sub.name));
    }
    out += "      esac\n      ;;\n  esac\n}\n";
  });
  // The file is a function in the fpath, or is sourced.
  return out + "\nif [[ $funcstack[1] == _ecp ]]; then\n  _ecp \"$@\"\nelse\n  compdef _ecp ecp\nfi\n";
}

}  // namespace ecp::cli
