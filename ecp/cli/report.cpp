// ecp report: a run folder as one web page, and its evaluations as a table.
#include <fmt/core.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "ecp/base/files.h"
#include "ecp/cli/arguments.h"
#include "ecp/cli/commands.h"
#include "ecp/cli/terminal.h"
#include "ecp/experiment/chart.h"
#include "ecp/experiment/report.h"
#include "ecp/experiment/run_log.h"

namespace ecp::cli {
namespace {

std::string evaluations_table(const std::vector<NamedEvaluation>& evaluations) {
  std::vector<std::vector<std::string>> rows{
      {"evaluation", "bits/byte", "ppl/token", "ppl/word", "nats/token"}};
  const auto cell = [](double value, int digits) { return std::isnan(value) ? "-" : decimal(value, digits); };
  for (const auto& [name, figures] : evaluations) {
    rows.push_back({name, cell(figures.bits_per_byte, 3), cell(figures.perplexity_token, 2),
                    cell(figures.perplexity_word, 1), cell(figures.loss, 4)});
  }
  return format_table(rows);
}

}  // namespace

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
    require_output("--output", output, ".html");
    write_output(output, render_report(options->run));
    const auto evaluations = read_evaluations(options->run);
    if (!evaluations.empty()) fmt::print("{}", evaluations_table(evaluations));
    fmt::print("wrote {}\n", output.string());
  });
}

}  // namespace ecp::cli
