// The subcommands of `ecp-torch`, an explicit list.
#pragma once

#include <CLI/CLI.hpp>

namespace ecp::cli {

void add_train(CLI::App& app);
void add_eval(CLI::App& app);
void add_score(CLI::App& app);

}  // namespace ecp::cli
