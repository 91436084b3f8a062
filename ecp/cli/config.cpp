// ecp config show: what a configuration comes to, every field with its explanation.
#include <fmt/core.h>

#include <memory>
#include <string>
#include <vector>

#include "ecp/base/files.h"
#include "ecp/cli/commands.h"
#include "ecp/config/config_file.h"

namespace ecp::cli {

void add_config(CLI::App& app) {
  struct Options {
    std::string path;
    std::vector<std::string> overrides;
    bool help_lines = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* config = app.add_subcommand("config", "Look at configurations");
  config->require_subcommand(1);
  CLI::App* show = config->add_subcommand("show", "Print the resolved configuration as TOML");
  show->add_option("CONFIG", options->path, "Configuration file (TOML)")->required();
  show->add_option("--set", options->overrides, "Override a field, e.g. --set train.lr=3e-4")
      ->type_name("SECTION.KEY=VALUE");
  show->add_flag("--explain", options->help_lines, "Explain each field");
  show->footer("Example:\n  ecp config show configs/quickstart.toml --set model.preset=paper --explain");
  show->callback([options] {
    fmt::print("{}", to_toml(read_config(options->path, options->overrides), options->help_lines));
  });
}

}  // namespace ecp::cli
