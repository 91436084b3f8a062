// ecp completion and ecp manual: the command line written down for shells and for man(1).
#include <fmt/core.h>

#include <memory>
#include <optional>
#include <string>

#include "ecp/base/error.h"
#include "ecp/base/files.h"
#include "ecp/base/suggest.h"
#include "ecp/base/version.h"
#include "ecp/cli/arguments.h"
#include "ecp/cli/child.h"
#include "ecp/cli/command_tree.h"
#include "ecp/cli/commands.h"
#include "ecp/cli/completion.h"
#include "ecp/cli/delegate.h"
#include "ecp/cli/manual.h"

namespace ecp::cli {
namespace {

/// All commands, those of `ecp-torch` where it is there.
CommandInfo all_commands(const CLI::App& app) {
  const Path program = ecp_torch_program();
  if (!std::filesystem::exists(program)) return describe(app);
  constexpr double seconds = 120;
  const Child child = run_child(program, {"describe"}, seconds);
  require(child.code == 0, "'{}' ended with {}: {}", program.string(), child.code, child.errors);
  const CommandInfo torch = command_from_json(child.output);
  return describe(app, [&](const std::string& path) -> std::optional<CommandInfo> {
    const CommandInfo* found = find_command(torch, path);
    return found != nullptr ? std::optional(*found) : std::nullopt;
  });
}

void print(const std::string& text) { fmt::print("{}", text); }

void write_manual(const CommandInfo& root, const Path& folder) {
  make_folders(folder);
  write_file(folder / manual_file(root, ""), manual_page(root, "", version()));
  for (const CommandInfo& command : root.commands)
    write_file(folder / manual_file(root, command.name), manual_page(root, command.name, version()));
}

}  // namespace

void add_completion(CLI::App& app) {
  struct Options {
    std::string shell, output;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("completion", "Print what lets a shell complete ecp's command lines");
  command->add_option("SHELL", options->shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}))
      ->type_name("SHELL");
  command->add_option("--output", options->output, "Write it into this file")->type_name("FILE");
  command->footer(
      "An installation has these files where the shells look for them.\n\n"
      "Examples:\n"
      "  source <(ecp completion bash)\n"
      "  ecp completion zsh --output ~/.zfunc/_ecp\n"
      "  ecp completion fish --output ~/.config/fish/completions/ecp.fish");
  command->callback([&app, options] {
    const CommandInfo root = all_commands(app);
    const std::string script = options->shell == "bash"  ? bash_completion(root)
                               : options->shell == "zsh" ? zsh_completion(root)
                                                         : fish_completion(root);
    if (options->output.empty()) {
      print(script);
    } else {
      write_output(options->output, script);
    }
  });
}

void add_manual(CLI::App& app) {
  struct Options {
    std::string command, output;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("manual", "Print a manual page, or write all of them");
  auto* page = command->add_option("COMMAND", options->command, "Command; none: the program itself");
  command->add_option("--output", options->output, "Write ecp.1, ecp-train.1, ... into this folder")
      ->type_name("FOLDER")
      ->excludes(page);
  command->footer(
      "An installation has these pages where man looks for them.\n\n"
      "Examples:\n"
      "  ecp manual generate | man -l -\n"
      "  ecp manual --output man1");
  command->callback([&app, options] {
    const CommandInfo root = all_commands(app);
    if (!options->output.empty()) return write_manual(root, options->output);
    std::vector<std::string> names;
    for (const CommandInfo& sub : root.commands) names.push_back(sub.name);
    const bool known = options->command.empty() || find_command(root, options->command) != nullptr;
    require(known && options->command.find(' ') == std::string::npos, "unknown command '{}'{}",
            options->command, did_you_mean(options->command, names));
    print(manual_page(root, options->command, version()));
  });
}

}  // namespace ecp::cli
