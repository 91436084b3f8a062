// ecp import: weights of the authors' program into a checkpoint folder.
#include <fmt/core.h>

#include <memory>
#include <string>
#include <vector>

#include "ecp/cli/commands.h"
#include "ecp/config/parameters.h"
#include "ecp/weights/checkpoint.h"
#include "ecp/weights/import.h"

namespace ecp::cli {
namespace {

constexpr const char* footer =
    R"(A .safetensors file may have the configuration in its metadata. Otherwise, as in PyTorch's own files, names and shapes
of the tensors tell vocab, dim, layers, heads, ffn_dim and mostly the architecture (ecp, perceiver_ar or compressed);
--set gives the rest: model.sequence always; model.block for ecp; model.latents for the others (compressed needs only
one of sequence and latents); model.architecture for double and split, whose tensors are alike; and
model.history_segment for split. What contradicts the file is refused.

From a PyTorch file tensors and plain containers are read, and nothing in it is executed. It may hold a state_dict, or a
dictionary that has one under model_state_dict, state_dict, model, net, network or module.

Examples:
  ecp import authors.safetensors --output checkpoints/authors
  ecp import authors.pt --output checkpoints/authors --set model.sequence=2048 --set model.block=256)";

}  // namespace

void add_import(CLI::App& app) {
  struct Options {
    std::string file, output;
    std::vector<std::string> overrides;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("import", "Turn weights of the authors' program into a checkpoint");
  command
      ->add_option("FILE", options->file,
                   "Weights: a .safetensors file, or a PyTorch checkpoint (.pt) with a state_dict")
      ->required();
  command->add_option("--output", options->output, "Checkpoint folder to write; must not exist")
      ->required()
      ->type_name("FOLDER");
  command
      ->add_option("--set", options->overrides,
                   "model.key=value: what the file doesn't tell; may be repeated")
      ->type_name("SECTION.KEY=VALUE");
  command->footer(footer);
  command->callback([options] {
    import_checkpoint(options->file, options->output, options->overrides);
    const ModelConfig model = Checkpoint(options->output).model();
    fmt::print("{}: {} model, {} layers, {} parameters\n", options->output, model.architecture, model.layers,
               parameter_count(model));
  });
}

}  // namespace ecp::cli
