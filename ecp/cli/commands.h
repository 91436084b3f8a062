// The subcommands, an explicit list. Each `add_*` puts one subcommand with its options, help and examples on
// the application; its callback does the work.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>

#include "ecp/base/files.h"

namespace ecp {
class Model;
}

namespace ecp::cli {

using LoadModel = std::function<std::shared_ptr<const Model>(const Path& checkpoint, int threads)>;

/// In both programs, which differ in how they compute a model.
void add_generate(CLI::App& app, LoadModel load);

// In `ecp`, without LibTorch.
void add_serve(CLI::App& app);
void add_tokenize(CLI::App& app);
void add_data(CLI::App& app);
void add_ngram(CLI::App& app);
void add_compare(CLI::App& app);
void add_report(CLI::App& app);
void add_complexity(CLI::App& app);
void add_import(CLI::App& app);
void add_config(CLI::App& app);
void add_checkpoint(CLI::App& app);
void add_quantize(CLI::App& app);
void add_doctor(CLI::App& app);
void add_bench(CLI::App& app);
/// Of all commands, so they come last.
void add_completion(CLI::App& app);
void add_manual(CLI::App& app);
/// train, eval, score: handed to the `ecp-torch` executable.
void add_torch_commands(CLI::App& app);

}  // namespace ecp::cli
