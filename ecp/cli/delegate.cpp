// Subcommands that need LibTorch are run by a second executable, `ecp-torch`, installed beside this one.
#include "ecp/cli/delegate.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <sstream>
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
  std::vector<char*> argv{const_cast<char*>("ecp-torch")};
  std::istringstream names(command);
  std::vector<std::string> words{std::istream_iterator<std::string>(names), {}};
  for (std::string& word : words) argv.push_back(word.data());
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  // OpenMP's threads wait for each other many times a step. Left alone they spin for a millisecond and more
  // before they sleep, which on busy processors takes the time from those they wait for.
  if (std::getenv("OMP_WAIT_POLICY") == nullptr) ::setenv("GOMP_SPINCOUNT", "10000", /*overwrite=*/0);
  ::execv(program.c_str(), argv.data());
  fail("cannot run '{}': {}", program.string(), std::strerror(errno));
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

void add_torch_command(CLI::App& app, const std::string& command, const std::string& description) {
  const std::string name = command.substr(command.rfind(' ') + 1);
  CLI::App* added = app.add_subcommand(name, description + " (needs LibTorch)");
  added->prefix_command();  // everything after the name is the other program's, --help included
  added->set_help_flag();
  added->callback([added, command] { run_ecp_torch(command, added->remaining()); });
}

void add_torch_commands(CLI::App& app) {
  add_torch_command(app, "train", "Train a model from a configuration");
  add_torch_command(
      app, "eval",
      "Perplexity per token and per word, bits per byte; accuracy of a classifier or on a probe");
  add_torch_command(app, "score", "Loss, logits and gradients of given tokens");
}

}  // namespace ecp::cli
