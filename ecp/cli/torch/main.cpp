// ecp-torch: the subcommands that need LibTorch; started by `ecp`.
#include "ecp/cli/app.h"
#include "ecp/cli/commands.h"
#include "ecp/cli/torch/commands.h"
#include "ecp/ops/tensor_memory.h"

int main(int argc, char** argv) {
  ecp::ops::reuse_tensor_memory();
  const auto app = ecp::cli::make_app();
  ecp::cli::add_train(*app);
  ecp::cli::add_eval(*app);
  ecp::cli::add_score(*app);
  ecp::cli::add_generate(*app, ecp::cli::load_window_model);
  ecp::cli::add_torch_bench(*app);
  ecp::cli::add_doctor_step(*app);
  ecp::cli::add_describe(*app);
  return ecp::cli::run(*app, argc, argv);
}
