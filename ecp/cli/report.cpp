// ecp report: a run folder as one web page.
#include <fmt/core.h>

#include <memory>
#include <string>

#include "ecp/base/files.h"
#include "ecp/cli/commands.h"
#include "ecp/experiment/report.h"

namespace ecp::cli {

void add_report(CLI::App& app) {
  struct Options {
    std::string run, output;
  };
  auto options = std::make_shared<Options>();
  CLI::App* report =
      app.add_subcommand("report", "Write a run's curves, evaluations and samples as one web page");
  report->add_option("RUN", options->run, "Run folder, as `ecp train` writes it")->required();
  report->add_option("--output", options->output, "Where to write the page (default: RUN/report.html)");
  report->footer("Example:\n  ecp report runs/austen");
  report->callback([options] {
    const Path output = options->output.empty() ? Path(options->run) / "report.html" : Path(options->output);
    write_file(output, render_report(options->run));
    fmt::print("wrote {}\n", output.string());
  });
}

}  // namespace ecp::cli
