// The subcommands of `ecp-torch`, an explicit list.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>

#include "ecp/base/files.h"

namespace ecp {
class Model;
}

namespace ecp::cli {

/// A model of any architecture from a checkpoint or run folder, computed by LibTorch.
std::shared_ptr<const Model> load_window_model(const Path& checkpoint, int threads);

void add_train(CLI::App& app);
void add_eval(CLI::App& app);
void add_score(CLI::App& app);
/// bench attention, train, loss.
void add_torch_bench(CLI::App& app);
/// What `ecp doctor` asks of this program; not shown in the help.
void add_doctor_step(CLI::App& app);
/// What `ecp` asks for its manual pages and completion: all commands as JSON; not shown in the help.
void add_describe(CLI::App& app);

}  // namespace ecp::cli
