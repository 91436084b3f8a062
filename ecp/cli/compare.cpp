// ecp compare: several configurations trained alike, scored on the same positions, one report.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/base/file_lock.h"
#include "ecp/base/interrupt.h"
#include "ecp/base/system.h"
#include "ecp/cli/app.h"
#include "ecp/cli/arguments.h"
#include "ecp/cli/commands.h"
#include "ecp/cli/comparison_runs.h"
#include "ecp/cli/terminal.h"
#include "ecp/config/comparison_config.h"
#include "ecp/experiment/comparison.h"
#include "ecp/experiment/comparison_report.h"
#include "ecp/experiment/comparison_tables.h"

namespace ecp::cli {
namespace {

constexpr std::size_t largest_config = 16 << 20;

struct Options {
  std::vector<std::string> configs, overrides, tests;
  std::vector<std::int64_t> seeds;
  std::string output, tokens;
  int jobs = 1;
  bool json = false, report_only = false;
};

constexpr const char* footer =
    R"(Each configuration is trained with each seed, in a process and a run folder of its own: the same data, the same
number of tokens (rounded up to whole steps), and at the end the same scored positions, with half a window of
context where every model allows it. What is scored is each run's best checkpoint by validation loss. Whatever
else differs between the configurations is listed in the report: comparison.html, .md and .json in FOLDER.

A comparison file says all this in one place, so that it can be committed and repeated (docs/comparison.md):
  [compare]
  tokens = 1_500_000
  seeds = [1, 2]
  test = ["data/test.npy"]
  [[model]]
  name = "full"
  config = "configs/small.toml"
  set = ["model.architecture=full"]

Ctrl-C or SIGTERM stops with checkpoints, exit code 3. The same command, or --output FOLDER alone, goes on and
skips what is done. A run that fails is reported and the others go on, exit code 1; the next time it is tried
again from its last checkpoint. What the programs said is in FOLDER/logs.

Examples:
  ecp compare configs/ecp.toml configs/full.toml --output results/small --tokens 1.5M --test data/test.npy
  ecp compare table1.toml --output results/table1 --seeds 1,2,3
  ecp compare --output results/table1
  ecp compare --output results/table1 --report-only --json)";

/// What is asked for, from the files and the command line.
ComparisonConfig asked(const Options& options) {
  ComparisonConfig config;
  std::vector<std::string> comparisons;
  for (const std::string& file : options.configs) {
    if (is_comparison(read_small_file(file, largest_config), file)) comparisons.push_back(file);
  }
  if (options.configs.empty()) {
    std::error_code error;
    require(std::filesystem::exists(Path(options.output) / "comparison.toml", error),
            "expected a CONFIG or more, or a comparison file ('{}' has no comparison to go on with)",
            options.output);
    config = stored_comparison(options.output);
  } else if (comparisons.empty()) {
    config = comparison_of(options.configs);
  } else {
    const std::string& file = comparisons.front();
    require(options.configs.size() == 1, "'{}' is a comparison file: expected it alone, got {} files", file,
            options.configs.size());
    config = parse_comparison(read_small_file(file, largest_config), file);
  }
  if (!options.tokens.empty()) config.tokens = parse_count("--tokens", options.tokens);
  if (!options.seeds.empty()) config.seeds = options.seeds;
  if (!options.tests.empty()) config.test = options.tests;
  return config;
}

/// Only into a folder that is new, or a comparison's.
void require_folder(const Path& folder) {
  std::error_code error;
  require(!folder.empty(), "--output: expected a folder's name, got an empty one");
  if (!std::filesystem::exists(folder, error)) return;
  require(std::filesystem::is_directory(folder, error), "--output: '{}' is a file; expected a folder",
          folder.string());
  if (std::filesystem::exists(folder / "comparison.toml", error)) return;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    require(entry.path().filename() == ".lock" || is_temporary(entry.path()),
            "--output: '{}' has other things in it; expected a new folder, or that of a comparison",
            folder.string());
  }
}

/// A table of the report for a terminal.
std::string text_of(const ReportTable& table) {
  std::vector<std::vector<std::string>> rows(1);
  for (const ReportColumn& column : table.columns) rows[0].push_back(column.name);
  for (const ReportRow& row : table.rows) {
    auto& cells = rows.emplace_back();
    for (const ReportCell& cell : row.cells) cells.push_back(cell.text == "–" ? "-" : cell.text);
  }
  std::string text = fmt::format("{}\n{}", table.title, format_table(rows));
  for (const std::string& remark : table.remarks) text += remark + "\n";
  return text;
}

void show(const Comparison& comparison, bool json) {
  if (json) return fmt::print("{}", comparison_json(comparison));
  for (std::size_t i = 0; i < comparison.plan.texts.size(); ++i)
    fmt::print("{}\n", text_of(results_table(comparison, i)));
  for (const std::string& note : comparison.notes) fmt::print("{}\n", note);
  const std::string folder = comparison.plan.folder.string();
  fmt::print("wrote {}/comparison.html, comparison.md, comparison.json\n", folder);
}

void run_compare(const Options& options) {
  const Path folder = options.output;
  require_folder(folder);
  const ComparisonConfig config = asked(options);
  const ComparisonPlan plan = plan_comparison(folder, config, options.overrides);
  const auto report = [&] {
    Comparison comparison = read_comparison(plan);
    write_comparison(comparison);
    return comparison;
  };
  if (options.report_only) {
    require(std::filesystem::is_directory(folder), "--report-only: '{}': no such folder", folder.string());
    return show(report(), options.json);
  }
  make_folders(folder);
  const FileLock lock(folder / ".lock", fmt::format("comparison '{}'", folder.string()));
  store_plan(plan, config.tokens);
  const int threads = options.jobs == 1 ? 0 : std::max(1, available_cpus() / options.jobs);
  const StopRequests requests;
  const bool finished = make_runs(plan, {options.jobs, threads}, report);
  const Comparison comparison = report();
  show(comparison, options.json);
  if (!finished) {
    fmt::print(stderr, "stopped; go on with: ecp compare --output {}\n", options.output);
    throw CLI::RuntimeError(exit_stopped);
  }
  std::vector<std::string> failed;
  for (const ComparedRun& run : comparison.runs) {
    if (run.stage != RunStage::scored) failed.push_back(run.planned.name);
  }
  require(failed.empty(), "{} of {} runs failed: {}; see {}", failed.size(), comparison.runs.size(),
          fmt::join(failed, ", "), (folder / "logs").string());
}

}  // namespace

void add_compare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "compare", "Train several configurations on the same data and report which is better");
  command->add_option("CONFIG", options->configs,
                      "Training configurations (TOML), named after their files; or one comparison file");
  command->add_option("--output", options->output, "Folder for runs and report; goes on with what is there")
      ->required()
      ->type_name("FOLDER");
  command->add_option("--set", options->overrides, "Override a field of all configurations")
      ->type_name("SECTION.KEY=VALUE")
      ->allow_extra_args(false);
  command
      ->add_option("--tokens", options->tokens,
                   "Tokens that each run processes, e.g. 1.5M; sets train.steps. Without it the "
                   "configurations must come to the same number")
      ->type_name("N");
  command->add_option("--seeds", options->seeds, "Seeds, e.g. 1,2,3; a run of each model with each")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(whole_number(0, std::int64_t{1} << 53))
      ->type_name("N,...");
  command
      ->add_option("--test", options->tests,
                   "Token files that are scored at the end; default the validation file")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("TOKENS.npy,...");
  command->add_option("--jobs", options->jobs, "Runs at a time, which share the CPUs")
      ->check(whole_number(1, most_threads))
      ->type_name("N")
      ->capture_default_str();
  command->add_flag("--json", options->json, "Print the report as JSON instead of tables");
  command->add_flag("--report-only", options->report_only, "Only write the report of what is there");
  command->footer(footer);
  command->callback([options] { run_compare(*options); });
}

}  // namespace ecp::cli
