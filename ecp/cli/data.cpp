// ecp data: looking at corpora and token files.
#include "ecp/cli/data.h"

#include "ecp/cli/commands.h"

namespace ecp::cli {

void add_data(CLI::App& app) {
  CLI::App* data = app.add_subcommand("data", "Look at corpora and token files: stats, show, verify");
  data->require_subcommand(1);
  add_data_stats(*data);
  add_data_show(*data);
  add_data_verify(*data);
}

}  // namespace ecp::cli
