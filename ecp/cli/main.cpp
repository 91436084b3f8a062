#include <algorithm>
#include <string>
#include <vector>

#include "ecp/cli/app.h"
#include "ecp/cli/commands.h"
#include "ecp/cli/delegate.h"

int main(int argc, char** argv) {
  const auto app = ecp::cli::make_app();
  ecp::cli::add_tokenize(*app);
  ecp::cli::add_data(*app);
  ecp::cli::add_ngram(*app);
  const std::vector<std::string> arguments(argv + std::min(argc, 2), argv + argc);
  ecp::cli::add_generate(*app, [&](const ecp::Path& checkpoint, int threads) {
    return ecp::cli::load_or_hand_over(checkpoint, threads, "generate", arguments);
  });
  ecp::cli::add_serve(*app);
  ecp::cli::add_compare(*app);
  ecp::cli::add_report(*app);
  ecp::cli::add_complexity(*app);
  ecp::cli::add_import(*app);
  ecp::cli::add_config(*app);
  ecp::cli::add_checkpoint(*app);
  ecp::cli::add_quantize(*app);
  ecp::cli::add_doctor(*app);
  ecp::cli::add_bench(*app);
  ecp::cli::add_torch_commands(*app);
  ecp::cli::add_completion(*app);
  ecp::cli::add_manual(*app);
  return ecp::cli::run(*app, argc, argv);
}
