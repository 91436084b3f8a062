// ecp report: run folders as one web page, their evaluations as a table; runs as TensorBoard's event files.
#include <fmt/core.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/base/files.h"
#include "ecp/cli/arguments.h"
#include "ecp/cli/commands.h"
#include "ecp/cli/terminal.h"
#include "ecp/experiment/event_export.h"
#include "ecp/experiment/html.h"
#include "ecp/experiment/report.h"
#include "ecp/experiment/run.h"

namespace ecp::cli {
namespace {

struct Options {
  std::vector<std::string> runs;
  std::string output, tensorboard;
};

constexpr const char* footer =
    R"(Shows what is there, during a run as well. Several runs are drawn over each other; only the settings that
tell them apart are listed. The page is one file that needs no network.

--tensorboard writes what metrics.jsonl says as event files, a folder for each run, for runs that were made
without them. Written again it replaces what TensorBoard shows.

Examples:
  ecp report runs/austen
  ecp report runs/base runs/wide runs/deep --output comparison.html
  ecp report runs/old --tensorboard boards)";

std::string evaluations_table(const std::vector<Run>& runs) {
  std::vector<std::vector<std::string>> texts{
      {"evaluation", "bits/byte", "ppl/token", "ppl/word", "nats/token"}};
  std::vector<std::vector<std::string>> images{{"evaluation", "accuracy", "nats/image", "images"}};
  const auto cell = [](double value, int digits) { return std::isnan(value) ? "-" : decimal(value, digits); };
  for (const Run& run : runs) {
    for (const auto& [name, figures] : run.evaluations) {
      const std::string head = runs.size() == 1 ? name : run.name + ": " + name;
      if (std::isnan(figures.accuracy)) {
        texts.push_back({head, cell(figures.bits_per_byte, 3), cell(figures.perplexity_token, 2),
                         cell(figures.perplexity_word, 1), cell(figures.loss, 4)});
      } else {
        images.push_back(
            {head, cell(100 * figures.accuracy, 2) + " %", cell(figures.loss, 4), cell(figures.images, 0)});
      }
    }
  }
  return (texts.size() == 1 ? "" : format_table(texts)) + (images.size() == 1 ? "" : format_table(images));
}

void run_report(const Options& options) {
  std::vector<Path> folders(options.runs.begin(), options.runs.end());
  if (options.output.empty() && folders.size() > 1 && options.tensorboard.empty())
    throw CLI::RequiredError("--output FILE (of the page for several runs)");
  const bool page = !options.output.empty() || options.tensorboard.empty();
  const Path output = options.output.empty() ? folders[0] / "report.html" : Path(options.output);
  if (page) require_output("--output", output, ".html");
  const std::vector<Run> runs = read_runs(folders);
  for (const Run& run : runs) {
    for (const std::string& note : run.notes) fmt::print(stderr, "ecp: warning: {}\n", note);
  }
  if (page) {
    write_output(output, render_report(runs));
    fmt::print("{}wrote {}\n", evaluations_table(runs), output.string());
  }
  if (options.tensorboard.empty()) return;
  for (const Run& run : runs)
    fmt::print("wrote {}\n", export_events(run, Path(options.tensorboard) / run.name).string());
}

}  // namespace

void add_report(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* report = app.add_subcommand(
      "report", "Write one or several runs' curves, evaluations and samples as one web page");
  report->add_option("RUN", options->runs, "Run folders, as `ecp train` writes them")->required();
  report
      ->add_option("--output", options->output,
                   "Where to write the page (default for one run: RUN/report.html)")
      ->type_name("FILE.html");
  report
      ->add_option("--tensorboard", options->tensorboard,
                   "Write TensorBoard event files into FOLDER/RUN; no page unless --output is given")
      ->type_name("FOLDER");
  report->footer(footer);
  report->callback([options] { run_report(*options); });
}

}  // namespace ecp::cli
