// Completion of command lines in shells, from the definition of the command line.
#pragma once

#include <string>

#include "ecp/cli/command_tree.h"

namespace ecp::cli {

/// A script for bash 4 or newer, which needs nothing of bash-completion.
std::string bash_completion(const CommandInfo& root);
/// A function for zsh's completion system, for a file `_ecp` in its fpath.
std::string zsh_completion(const CommandInfo& root);
/// A script for fish 3 or newer.
std::string fish_completion(const CommandInfo& root);

/// Calls `visit(command, path)` for a command and all that stands under it; `path` is "" for `root`.
template <class Visit>
void for_each_command(const CommandInfo& command, const Visit& visit, const std::string& path = "") {
  visit(command, path);
  for (const CommandInfo& sub : command.commands)
    for_each_command(sub, visit, path.empty() ? sub.name : path + " " + sub.name);
}

/// `text` as one word of a shell, in single quotes. fish has its own escape within them.
std::string shell_word(const std::string& text, bool fish = false);

}  // namespace ecp::cli
