// What a command line consists of, read from its definition: for manual pages and for completion in shells.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ecp::cli {

/// An option, or an argument that is known by its place.
struct OptionInfo {
  std::vector<std::string> names;  // "-o", "--output"; empty for an argument
  std::string value;               // what stands for its value, "FILE.npy", "N"; empty: it takes none
  std::string help;
  std::string standard;              // the value where none is given
  std::string environment;           // the variable that gives it as well
  std::vector<std::string> choices;  // values that it may have; empty: any
  bool required = false;
  bool repeats = false;  // may be given several times
  bool many = false;     // takes all words that follow, up to the next option

  [[nodiscard]] bool is_argument() const { return names.empty(); }
};

/// A command and what stands under it.
struct CommandInfo {
  std::string name;     // "ecp", below it "data", below that "stats"
  std::string summary;  // one sentence without its full stop
  std::string footer;   // paragraphs and examples, as --help shows them
  bool known = true;    // false: the program that could tell its options isn't there
  std::vector<OptionInfo> options;
  std::vector<CommandInfo> commands;
};

/// What a command of `ecp-torch` consists of; nothing where that program isn't there. `path`: "bench train".
using AskTorch = std::function<std::optional<CommandInfo>(const std::string& path)>;

/// Everything that --help would show of `app` and what stands under it. Commands that are handed over are
/// `ask`ed for.
CommandInfo describe(const CLI::App& app, const AskTorch& ask = {});

/// The command that stands under `root` by the names in `path`, "bench train"; null if there is none.
const CommandInfo* find_command(const CommandInfo& root, std::string_view path);

/// What may stand for a value, by its name and choices.
struct ValueKinds {
  std::vector<std::string> words;
  bool files = false, folders = false;
  std::string extension;  // of the files, ".npy"; empty: any
};
ValueKinds kinds_of(const OptionInfo& option);

/// As JSON, by which `ecp-torch` tells `ecp`.
std::string to_json(const CommandInfo& command);
CommandInfo command_from_json(const std::string& text);

}  // namespace ecp::cli
