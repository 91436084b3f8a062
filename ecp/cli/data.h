// The subcommands of `ecp data`, each in a file of its own.
#pragma once

#include <CLI/CLI.hpp>

namespace ecp::cli {

void add_data_stats(CLI::App& data);
void add_data_show(CLI::App& data);
void add_data_verify(CLI::App& data);

}  // namespace ecp::cli
