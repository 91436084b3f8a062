// ecp-torch describe: its commands and their options, for manual pages and completion.
#include <fmt/core.h>

#include "ecp/cli/command_tree.h"
#include "ecp/cli/torch/commands.h"

namespace ecp::cli {

void add_describe(CLI::App& app) {
  CLI::App* command = app.add_subcommand("describe", "Print all commands and options as JSON");
  command->group("");  // not in the help
  command->callback([&app] { fmt::print("{}\n", to_json(describe(app))); });
}

}  // namespace ecp::cli
