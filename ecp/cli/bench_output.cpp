#include "ecp/cli/bench_output.h"

#include <fmt/core.h>

#include <iostream>
#include <nlohmann/json.hpp>
#include <vector>

#include "ecp/base/system.h"
#include "ecp/cli/arguments.h"
#include "ecp/cli/terminal.h"
#include "ecp/machine/undisturbed.h"

namespace ecp::cli {
namespace {

void print_json(const std::string& name, const Bench& bench, const BenchFigures& figures) {
  nlohmann::ordered_json json = {
      {"benchmark", name},
      {"about", bench.about},
      {"processor", cpu_name()},
      {"unit", bench.unit},
      {"ceiling", {{"name", bench.ceiling.name}, {"rate", figures.ceiling}}},
      {"peak_memory", figures.peak_memory},
      {"rounds", {{"counted", figures.counted}, {"undisturbed", figures.undisturbed}}},
      {"works", nlohmann::ordered_json::array()}};
  for (const Figure& figure : figures.works) {
    nlohmann::ordered_json work = {{"name", figure.name},
                                   {"seconds", figure.seconds},
                                   {"rate", figure.rate},
                                   {"of_ceiling", figure.share}};
    if (figure.tokens_per_second > 0) work["tokens_per_second"] = figure.tokens_per_second;
    for (const auto& [fact, value] : figure.facts) work[fact] = value;
    json["works"].push_back(std::move(work));
  }
  fmt::print("{}\n", json.dump());
}

void print_table(const Bench& bench, const BenchFigures& figures, int rounds) {
  const auto giga = [](double rate) { return fmt::format("{:.1f}", rate * 1e-9); };
  std::vector<std::vector<std::string>> table = {
      {"", "tokens/s", "ms", "G" + bench.unit, "of " + bench.ceiling.name}};
  table.push_back({bench.ceiling.name, "", "", giga(figures.ceiling), ""});
  for (const Figure& figure : figures.works) {
    table.push_back({figure.name, fmt::format("{:.1f}", figure.tokens_per_second),
                     fmt::format("{:.3f}", figure.seconds * 1e3), giga(figure.rate),
                     fmt::format("{:.2f}", figure.share)});
  }
  const std::string counted =
      figures.counted == figures.undisturbed
          ? fmt::format("{} of {} rounds, undisturbed ones", figures.counted, rounds)
          : fmt::format("{} rounds, of which only {} were undisturbed", rounds, figures.undisturbed);
  fmt::print("{}\n{}; {}, in turns, medians; {} at the peak\n\n{}", bench.about, cpu_name(), counted,
             format_bytes(figures.peak_memory), format_table(table));
}

}  // namespace

void add_bench_options(CLI::App& command, BenchOptions& options) {
  command.add_option("--threads", options.threads, "CPU threads; default all available")
      ->check(whole_number(1, most_threads))
      ->type_name("N");
  command.add_option("--rounds", options.rounds, "Rounds, of which medians are taken")
      ->check(whole_number(1, 100'000))
      ->type_name("N")
      ->capture_default_str();
  CLI::Option* json = command.add_flag("--json", options.json, "Print one JSON object");
  command
      .add_flag("--requests", options.requests,
                "Answer lines \"WORK REPEATS\" of standard input with lines of JSON, for programs that time "
                "others in "
                "turns with this")
      ->excludes(json);
}

void run_bench(const std::string& name, const Bench& bench, const BenchOptions& options) {
  if (options.requests) return answer_requests(bench, std::cin, std::cout);
  const BenchFigures figures = measure(bench, options.rounds, Undisturbed(), progress_bar());
  options.json ? print_json(name, bench, figures) : print_table(bench, figures, options.rounds);
}

}  // namespace ecp::cli
