// The subcommands of `ecp-torch`, an explicit list.
#pragma once

#include <CLI/CLI.hpp>

namespace ecp::cli {

void add_train(CLI::App& app);
void add_eval(CLI::App& app);
void add_score(CLI::App& app);
/// What `ecp doctor` asks of this program; not shown in the help.
void add_doctor_step(CLI::App& app);

}  // namespace ecp::cli
