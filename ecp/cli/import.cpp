// ecp import: weights of the authors' program into a checkpoint folder.
#include <fmt/core.h>

#include <memory>
#include <string>

#include "ecp/cli/commands.h"
#include "ecp/config/parameters.h"
#include "ecp/weights/checkpoint.h"
#include "ecp/weights/import.h"

namespace ecp::cli {

void add_import(CLI::App& app) {
  struct Options {
    std::string file, output;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("import", "Turn weights of the authors' program into a checkpoint");
  command
      ->add_option("FILE", options->file,
                   "Weights (.safetensors) with the configuration in the file's metadata")
      ->required();
  command->add_option("--output", options->output, "Checkpoint folder to write; must not exist")->required();
  command->footer("Example:\n  ecp import authors.safetensors --output checkpoints/authors");
  command->callback([options] {
    import_checkpoint(options->file, options->output);
    const ModelConfig model = Checkpoint(options->output).model();
    fmt::print("{}: {} model, {} layers, {} parameters\n", options->output, model.architecture, model.layers,
               parameter_count(model));
  });
}

}  // namespace ecp::cli
