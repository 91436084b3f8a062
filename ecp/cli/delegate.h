// Where the second executable is, that which is linked to LibTorch, and what is handed to it.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "ecp/base/files.h"

namespace ecp {
class Model;
}

namespace ecp::cli {

/// `ecp-torch` beside this program; it need not be there.
Path ecp_torch_program();
/// The same; fails, saying what to do, unless it is there. `why`: "for architecture double ", if not every
/// use of the command needs it.
Path require_ecp_torch(const std::string& command, const std::string& why = "");

/// Puts a subcommand on `app` that `ecp-torch` runs. `command` is its name, after the names of those that it
/// stands under: "bench train".
void add_torch_command(CLI::App& app, const std::string& command, const std::string& description);

/// The model of a checkpoint or run folder. One that has no cache to generate from is left to `ecp-torch`:
/// this process becomes `ecp-torch COMMAND ARGUMENTS`.
std::shared_ptr<const Model> load_or_hand_over(const Path& checkpoint, int threads,
                                               const std::string& command,
                                               const std::vector<std::string>& arguments);

}  // namespace ecp::cli
