#include "ecp/cli/manual.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace ecp::cli {
namespace {

/// Text as roff shows it: no character of it is a command, hyphens are those that can be typed.
std::string escaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const bool line_begins = out.empty() || out.back() == '\n';
    if (line_begins && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if (c == '\'') {
      out += "\\(aq";
    } else if (c == '`') {
      out += "\\(ga";
    } else if (c == '^') {
      out += "\\(ha";
    } else if (c == '~') {
      out += "\\(ti";
    } else if (c < 0x80) {
      out += text[i];
    } else {  // our own texts: well-formed UTF-8
      const int more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : 1;
      std::uint32_t point = c & (0x3Fu >> more);
      for (int k = 0; k < more; ++k) point = point << 6 | (static_cast<unsigned char>(text[++i]) & 0x3Fu);
      out += fmt::format("\\[u{:04X}]", point);
    }
  }
  return out;
}

std::string bold(std::string_view text) { return "\\fB" + escaped(text) + "\\fR"; }
std::string italic(std::string_view text) { return "\\fI" + escaped(text) + "\\fR"; }

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

/// The footer's paragraphs, which are filled anew, and its indented lines, which are not.
std::string paragraphs(std::string_view text) {
  std::string out;
  bool verbatim = false;
  const auto set = [&](bool wanted) {
    if (wanted != verbatim) out += wanted ? ".PP\n.RS 4\n.nf\n" : ".fi\n.RE\n";
    verbatim = wanted;
  };
  bool gap = true;
  for (const std::string_view line : lines_of(text)) {
    if (line.empty()) {
      set(false);
      gap = true;
      continue;
    }
    const bool indented = line.front() == ' ';
    if (!indented) {
      const bool after_lines = verbatim;
      set(false);
      if (gap || after_lines) out += ".PP\n";
    } else {
      set(true);
    }
    gap = false;
    out += escaped(indented ? line.substr(std::min<std::size_t>(2, line.size())) : line) + "\n";
  }
  set(false);
  return out;
}

std::string sentence(std::string text) {
  if (!text.empty() && text.back() != '.') text += '.';
  return text;
}

std::string explanation(const OptionInfo& option) {
  std::string text = sentence(option.help);
  const auto add = [&](const std::string& more) { text += (text.empty() ? "" : " ") + more; };
  if (!option.choices.empty()) add(fmt::format("One of {}.", fmt::join(option.choices, ", ")));
  if (!option.standard.empty()) add(fmt::format("Default: {}.", option.standard));
  if (!option.environment.empty()) add(fmt::format("Also in the environment: {}.", option.environment));
  if (option.required && !option.is_argument()) add("Required.");
  if (option.repeats && !option.is_argument()) add("May be given several times.");
  return text;
}

std::string head_of(const OptionInfo& option) {
  if (option.is_argument()) return italic(option.value) + (option.repeats ? " ..." : "");
  std::string head;
  for (const std::string& name : option.names) head += (head.empty() ? "" : ", ") + bold(name);
  if (!option.value.empty()) head += " " + italic(option.value) + (option.many ? " ..." : "");
  return head;
}

std::string list_of(const std::vector<OptionInfo>& options, bool arguments) {
  std::string out;
  for (const OptionInfo& option : options) {
    if (option.is_argument() != arguments) continue;
    out += ".TP\n" + head_of(option) + "\n" + escaped(explanation(option)) + "\n";
  }
  return out;
}

std::string synopsis(const CommandInfo& command, const std::string& path) {
  std::string out = bold(path);
  out += " [" + italic("OPTION") + "]...";
  if (!command.commands.empty()) return out + " " + italic("COMMAND") + " ...\n";
  for (const OptionInfo& option : command.options) {
    if (!option.is_argument()) {
      if (option.required) out += " " + bold(option.names.back()) + " " + italic(option.value);
      continue;
    }
    const std::string name = italic(option.value) + (option.repeats ? "..." : "");
    out += option.required ? " " + name : " [" + name + "]";
  }
  return out + "\n";
}

constexpr const char* unknown =
    "This command is run by \\fBecp\\-torch\\fR, which needs LibTorch and isn't part of this installation; "
    "its "
    "options\nare therefore not described here.\n";

/// Sections of a command; of one that stands under the page's own, they are subsections.
std::string body_of(const CommandInfo& command, const std::string& path, bool top) {
  const char* const heading = top ? ".SH" : ".SS";
  std::string out;
  if (!top) {
    out += fmt::format(".SS \"{}\"\n{}\n.PP\n{}", escaped(path), escaped(sentence(command.summary)),
                       synopsis(command, path));
  }
  const std::string arguments = list_of(command.options, true), options = list_of(command.options, false);
  if (!command.known) out += (top ? ".SH OPTIONS\n" : ".PP\n") + std::string(unknown);
  if (!arguments.empty()) out += top ? fmt::format("{} ARGUMENTS\n{}", heading, arguments) : arguments;
  if (!options.empty()) out += top ? fmt::format("{} OPTIONS\n{}", heading, options) : options;
  return out;
}

/// The footer before and from "Examples:" on.
std::pair<std::string_view, std::string_view> examples_of(std::string_view footer) {
  for (const std::string_view title : {"Examples:\n", "Example:\n"}) {
    const std::size_t at = footer.find(title);
    if (at != footer.npos && (at == 0 || footer[at - 1] == '\n'))
      return {footer.substr(0, at), footer.substr(at + title.size())};
  }
  return {footer, {}};
}

std::string footers(const CommandInfo& command, bool top) {
  const auto [notes, examples] = examples_of(command.footer);
  std::string out;
  if (!notes.empty()) out += (top ? ".SH NOTES\n" : ".PP\n") + paragraphs(notes);
  if (!examples.empty()) out += (top ? ".SH EXAMPLES\n" : ".PP\nExamples:\n") + paragraphs(examples);
  return out;
}

void add_below(std::string& out, const CommandInfo& command, const std::string& path) {
  for (const CommandInfo& sub : command.commands) {
    const std::string name = path + " " + sub.name;
    out += body_of(sub, name, false) + footers(sub, false);
    add_below(out, sub, name);
  }
}

constexpr const char* ending =
    ".SH EXIT STATUS\n.TP\n.B 0\nDone.\n.TP\n.B 1\nThe work failed; one line on standard error says why.\n"
    ".TP\n.B 2\nThe command line is wrong.\n.TP\n.B 3\nA training run stopped early as asked, with a "
    "checkpoint "
    "to resume from.\n.TP\n.B 128 + N\nInterrupted by signal N; nothing is left behind.\n";

}  // namespace

std::string manual_file(const CommandInfo& root, std::string_view name) {
  return name.empty() ? root.name + ".1" : fmt::format("{}-{}.1", root.name, name);
}

std::string manual_page(const CommandInfo& root, std::string_view name, std::string_view version) {
  const CommandInfo& command = *find_command(root, name);
  const bool program = name.empty();
  const std::string path = program ? root.name : fmt::format("{} {}", root.name, name);
  std::string title = program ? root.name : fmt::format("{}-{}", root.name, name);
  const std::string page = title;
  for (char& c : title) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  std::string summary = command.summary;
  while (summary.ends_with('.')) summary.pop_back();

  std::string out =
      fmt::format(".TH {} 1 \"\" \"{} {}\" \"User Commands\"\n", escaped(title), root.name, version);
  // Commands and paths aren't hyphenated, lines end where words do.
  out += fmt::format(".nh\n.ad l\n.SH NAME\n{} \\- {}\n.SH SYNOPSIS\n{}", escaped(page), escaped(summary),
                     synopsis(command, path));
  out += fmt::format(".SH DESCRIPTION\n{}\n", escaped(sentence(command.summary)));
  if (program) {
    out += ".SH COMMANDS\n";
    for (const CommandInfo& sub : root.commands) {
      out +=
          fmt::format(".TP\n{}(1)\n{}\n", bold(root.name + "-" + sub.name), escaped(sentence(sub.summary)));
    }
    out += body_of(command, path, true);
  } else {
    out += body_of(command, path, true);
    if (!command.commands.empty()) out += ".SH COMMANDS\n";
    add_below(out, command, path);
  }
  out += footers(command, true);
  out += ending;
  out += ".SH SEE ALSO\n";
  std::string others;
  if (!program) others = bold(root.name) + "(1)";
  for (const CommandInfo& sub : root.commands) {
    if (sub.name == name) continue;
    others += (others.empty() ? "" : ",\n") + bold(root.name + "-" + sub.name) + "(1)";
  }
  return out + others + "\n";
}

}  // namespace ecp::cli
