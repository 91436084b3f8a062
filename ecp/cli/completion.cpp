// Completion for bash and fish.
#include "ecp/cli/completion.h"

#include <fmt/format.h>

#include <string_view>
#include <vector>

namespace ecp::cli {
namespace {

std::string joined(const std::vector<std::string>& words) { return fmt::format("{}", fmt::join(words, " ")); }

/// One line of what a value may be: "words='a b' files='.npy'"; empty if nothing is known of it. Files of any
/// name are '*'.
std::string bash_kinds(const OptionInfo& option) {
  const ValueKinds kinds = kinds_of(option);
  std::vector<std::string> parts;
  if (!kinds.words.empty()) parts.push_back("words=" + shell_word(joined(kinds.words)));
  if (kinds.files) parts.push_back("files=" + shell_word("*" + kinds.extension));
  if (kinds.folders) parts.emplace_back("folders=1");
  return joined(parts);
}

constexpr const char* bash_begin = R"(# Completion for bash, written by `ecp completion bash`.

)";

constexpr const char* bash_end = R"sh(
_ecp() {
  local cur=${COMP_WORDS[COMP_CWORD]} command='' option='' count=0 i word
  local commands options valued many arguments repeats words='' files='' folders=''
  _ecp_command ''
  for ((i = 1; i < COMP_CWORD; ++i)); do
    word=${COMP_WORDS[i]}
    case $word in
      =) ;; # --option=value comes as three words
      -?*)
        option=''
        [[ " $valued " != *" $word "* ]] || option=$word
        ;;
      *)
        if [[ -n $option ]]; then
          [[ " $many " == *" $option "* ]] || option=''
        elif [[ " $commands " == *" $word "* ]]; then
          command=${command:+$command }$word
          count=0
          _ecp_command "$command"
        else
          ((++count))
        fi
        ;;
    esac
  done
  [[ $cur != = ]] || cur=''
  if [[ -n $option && $cur != -* ]]; then
    _ecp_value "$command $option"
  elif [[ $cur == -* ]]; then
    words=$options
  else
    words=$commands
    if ((arguments > 0 && (count < arguments || repeats))); then
      _ecp_value "$command $((count < arguments ? count + 1 : arguments))"
    fi
    [[ -n $words$files$folders ]] || words=$options
  fi
  mapfile -t COMPREPLY < <(
    compgen -W "$words" -- "$cur"
    [[ $files != '*' ]] || compgen -f -- "$cur"
    [[ -z $files || $files == '*' ]] || compgen -f -X "!$files" -- "$cur"
    [[ -z $folders$files || $files == '*' ]] || compgen -d -- "$cur"
  )
  [[ -z $files$folders ]] || compopt -o filenames 2>/dev/null
  return 0
}

complete -F _ecp ecp
)sh";

constexpr const char* fish_begin = R"fish(# Completion for fish, written by `ecp completion fish`.

# Whether the command line is at the command of the arguments' names, such as: data stats
function __ecp_at
    set -l known {}
    set -l words (commandline -opc)
    set -e words[1]
    set -l command ''
    for word in $words
        set -l longer (string trim -- "$command $word")
        contains -- $longer $known
        and set command $longer
    end
    test "$command" = "$argv"
end

complete -c ecp -f
)fish";

/// Arguments of fish's `complete` for what a value may be.
std::string fish_kinds(const OptionInfo& option) {
  const ValueKinds kinds = kinds_of(option);
  std::vector<std::string> sources;
  if (!kinds.words.empty()) sources.push_back(joined(kinds.words));
  if (kinds.files && !kinds.extension.empty())
    sources.push_back("(__fish_complete_suffix " + kinds.extension + ")");
  if (kinds.folders) sources.emplace_back("(__fish_complete_directories)");
  std::string out = kinds.files && kinds.extension.empty() ? " -F" : "";
  if (!sources.empty()) out += " -a " + shell_word(joined(sources), true);
  return out;
}

void add_fish(std::string& out, const CommandInfo& command, const std::string& path) {
  const std::string begin =
      "complete -c ecp -n " + shell_word("__ecp_at " + (path.empty() ? "''" : path), true);
  for (const CommandInfo& sub : command.commands)
    out += fmt::format("{} -a {} -d {}\n", begin, sub.name, shell_word(sub.summary, true));
  for (const OptionInfo& option : command.options) {
    const std::string kinds = fish_kinds(option);
    if (option.is_argument()) {
      if (!kinds.empty()) out += begin + kinds + "\n";
      continue;
    }
    out += begin;
    for (const std::string& name : option.names)
      out += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
    if (!option.value.empty()) out += " -r" + kinds;
    out += " -d " + shell_word(option.help, true) + "\n";
  }
}

}  // namespace

std::string shell_word(const std::string& text, bool fish) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += fish ? "\\'" : "'\\''";
    } else if (c == '\\' && fish) {
      out += "\\\\";
    } else {
      out += c == '\n' ? ' ' : c;
    }
  }
  return out + "'";
}

std::string bash_completion(const CommandInfo& root) {
  std::string commands =
      "# What a command has: commands, options, of them those with a value or several, arguments.\n"
      "_ecp_command() {\n  case $1 in\n";
  std::string values =
      "\n# What the value of an option may be, or the argument of that number.\n"
      "_ecp_value() {\n  case $1 in\n";
  for_each_command(root, [&](const CommandInfo& command, const std::string& path) {
    std::vector<std::string> below, options, valued, many;
    int arguments = 0;
    bool repeats = false;
    const auto add_value = [&](const std::string& name, const OptionInfo& option) {
      if (const std::string kinds = bash_kinds(option); !kinds.empty())
        values += fmt::format("    {}) {} ;;\n", shell_word(path + " " + name), kinds);
    };
    for (const CommandInfo& sub : command.commands) below.push_back(sub.name);
    for (const OptionInfo& option : command.options) {
      if (option.is_argument()) {
        add_value(std::to_string(++arguments), option);
        repeats = option.repeats;
      }
      for (const std::string& name : option.names) {
        options.push_back(name);
        if (!option.value.empty()) valued.push_back(name);
        if (option.many) many.push_back(name);
        add_value(name, option);
      }
    }
    commands += fmt::format(
        "    {})\n      commands={} options={}\n      valued={} many={}\n      arguments={} repeats={}\n     "
        " ;;\n",
        shell_word(path), shell_word(joined(below)), shell_word(joined(options)), shell_word(joined(valued)),
        shell_word(joined(many)), arguments, repeats ? 1 : 0);
  });
  return bash_begin + commands + "  esac\n}\n" + values + "  esac\n}\n" + bash_end;
}

std::string fish_completion(const CommandInfo& root) {
  std::vector<std::string> known;
  std::string out;
  for_each_command(root, [&](const CommandInfo& command, const std::string& path) {
    if (!path.empty()) known.push_back(shell_word(path, true));
    add_fish(out, command, path);
  });
  std::string begin = fish_begin;
  begin.replace(begin.find("{}"), 2, joined(known));
  return begin + out;
}

}  // namespace ecp::cli
