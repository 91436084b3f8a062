// What both executables share: running a command line, turning errors into one line and an exit code.
//
// Exit codes: 0 done; 1 the work failed (one line on standard error says why); 2 the command line is wrong; 3
// a training run stopped early as asked, with a checkpoint to resume from; 128 + signal: interrupted, nothing
// left behind.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace ecp::cli {

constexpr int exit_stopped = 3;

/// Parses and runs: subcommands' callbacks do the work. Returns the process's exit code.
int run(CLI::App& app, int argc, const char* const* argv);

/// The application with its name, version and shared help layout.
std::unique_ptr<CLI::App> make_app();

}  // namespace ecp::cli
