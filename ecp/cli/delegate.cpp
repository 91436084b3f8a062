// Subcommands that need LibTorch are run by a second executable, `ecp-torch`, installed beside this one.
#include "ecp/cli/delegate.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/cli/commands.h"
#include "ecp/runtime/model.h"
#include "ecp/weights/checkpoint.h"

namespace ecp::cli {
namespace {

[[noreturn]] void run_ecp_torch(const std::string& command, const std::vector<std::string>& arguments,
                                const std::string& why = "") {
  const Path program = require_ecp_torch(command, why);
  std::vector<char*> argv{const_cast<char*>("ecp-torch"), const_cast<char*>(command.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  // OpenMP's threads wait for each other many times a step. Left alone they spin for a millisecond and more
  // before they sleep, which on busy processors takes the time from those they wait for.
  if (std::getenv("OMP_WAIT_POLICY") == nullptr) ::setenv("GOMP_SPINCOUNT", "10000", /*overwrite=*/0);
  ::execv(program.c_str(), argv.data());
  fail("cannot run '{}': {}", program.string(), std::strerror(errno));
}

void add(CLI::App& app, const std::string& name, const std::string& description) {
  CLI::App* command = app.add_subcommand(name, description);
  command->prefix_command();  // everything after the name is the other program's, --help included
  command->set_help_flag();
  command->callback([command, name] { run_ecp_torch(name, command->remaining()); });
}

}  // namespace

Path ecp_torch_program() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / "ecp-torch";
}

Path require_ecp_torch(const std::string& command, const std::string& why) {
  Path program = ecp_torch_program();
  require(
      std::filesystem::exists(program),
      "'ecp {}' {}needs LibTorch: expected the program '{}'; build the project with LibTorch (scripts/build)",
      command, why, program.string());
  return program;
}

std::shared_ptr<const Model> load_or_hand_over(const Path& checkpoint, int threads,
                                               const std::string& command,
                                               const std::vector<std::string>& arguments) {
  const Checkpoint verified(checkpoint);
  const ModelConfig& model = verified.model();
  if (model.is_latent()) run_ecp_torch(command, arguments, "for architecture " + model.architecture + " ");
  return Model::load(verified, threads);
}

void add_torch_commands(CLI::App& app) {
  add(app, "train", "Train a model from a configuration (needs LibTorch)");
  add(app, "eval",
      "Perplexity per token and per word, bits per byte; accuracy of a classifier or on a probe (needs "
      "LibTorch)");
  add(app, "score", "Loss, logits and gradients of given tokens (needs LibTorch)");
}

}  // namespace ecp::cli
