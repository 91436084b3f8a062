// ecp complexity: what a configuration costs in every architecture, and the paper's table beside our counts.
#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/cli/arguments.h"
#include "ecp/cli/commands.h"
#include "ecp/cli/terminal.h"
#include "ecp/config/config_file.h"
#include "ecp/config/variants.h"
#include "ecp/experiment/complexity_page.h"
#include "ecp/experiment/complexity_report.h"
#include "ecp/experiment/html.h"

namespace ecp::cli {
namespace {

struct Options {
  std::string config, output;
  std::vector<std::string> overrides, architectures;
  std::int64_t length = 0;
  bool paper = false, json = false;
};

constexpr const char* footer =
    R"(Counts one window, from the configuration alone. Without a CONFIG: the defaults, with what --set says.
Two counts of attention: "visible" entries are the pairs of a query and a key that attention needs, "dense"
ones the rectangles that an implementation with masks computes, as the paper counts. Operations are of visible
entries; backward: twice the products with weights, 2.5 times attention. Activations: what a training step keeps
of a window in float32, at least. docs/complexity.md has the formulas.

Examples:
  ecp complexity configs/quickstart.toml --set model.vocab=8192
  ecp complexity --set model.dim=768 --set model.layers=12 --architectures ecp,full --length 8192
  ecp complexity --paper
  ecp complexity --paper --output complexity.html)";

using Json = nlohmann::ordered_json;

const char* name_of(CacheCost::Kind kind) {
  switch (kind) {
    case CacheCost::Kind::bounded:
      return "bounded";
    case CacheCost::Kind::growing:
      return "growing";
    case CacheCost::Kind::none:
      break;
  }
  return "recomputed";
}

Json to_json(const Entries& entries) { return {{"visible", entries.visible}, {"dense", entries.dense}}; }

Json to_json(const Flops& flops) {
  return {{"attention", flops.attention},       {"projections", flops.projections},
          {"feed_forward", flops.feed_forward}, {"compression", flops.compression},
          {"classifier", flops.classifier},     {"forward", flops.forward()},
          {"backward", flops.backward()}};
}

Json to_json(const CountedModel& model) {
  const Complexity& cost = model.cost;
  Json json = {
      {"architecture", model.architecture},
      {"tokens", cost.length},
      {"trained_tokens", cost.trained},
      {"attention_entries", to_json(cost.entries)},
      {"multiply_adds", cost.flops.forward() / 2},
      {"flops", to_json(cost.flops)},
      {"training_flops_per_token", cost.training_per_token()},
      {"training_flops_per_trained_token", cost.training_per_trained_token()},
      {"parameters", cost.parameters ? Json(*cost.parameters) : Json()},
      {"parameters_without_embeddings", cost.inner_parameters},
      {"activation_bytes", {{"float32", cost.activations_float32}, {"bfloat16", cost.activations_bfloat16}}}};
  const bool none = cost.cache.kind == CacheCost::Kind::none;
  json["cache"] = {{"kind", name_of(cost.cache.kind)},
                   {"rows", none ? Json() : Json(cost.cache.rows)},
                   {"bytes", none ? Json() : Json(cost.cache.bytes)}};
  json["layers"] = Json::array();
  for (const LayerCost& layer : cost.layers) {
    json["layers"].push_back({{"rows", layer.rows},
                              {"queries", layer.queries},
                              {"rows_out", layer.rows_out},
                              {"attention_entries", to_json(layer.entries)},
                              {"flops", to_json(layer.flops)}});
  }
  if (const PrintedEntries* printed = printed_entries(model.architecture)) {
    json["paper"] = {{"dense_millions", printed->millions},
                     {"percent", printed->percent},
                     {"derived", printed->note.empty()},
                     {"note", printed->note.empty() ? Json() : Json(printed->note)}};
  }
  return json;
}

void print_json(const ComplexityReport& report) {
  Json json = {
      {"format", "ecp-complexity"}, {"version", 1}, {"name", report.name}, {"models", Json::array()}};
  for (const CountedModel& model : report.models) {
    json["models"].push_back(to_json(model));
    if (!report.paper) json["models"].back().erase("paper");
  }
  json["left_out"] = report.left_out;
  fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
}

std::string whole(std::int64_t value) { return grouped(static_cast<double>(value)); }

std::string bytes(double value) { return format_bytes(static_cast<std::uint64_t>(std::min(value, 1e18))); }

std::string cache_text(const CacheCost& cache) {
  if (cache.kind == CacheCost::Kind::none) return "recomputed";
  return bytes(cache.bytes) + (cache.kind == CacheCost::Kind::growing ? " at n" : "");
}

void print_costs(const ComplexityReport& report) {
  std::vector<std::vector<std::string>> work{{"architecture", "visible", "dense", "FLOP forward",
                                              "FLOP backward", "FLOP/token", "FLOP/trained token"}};
  std::vector<std::vector<std::string>> memory{
      {"architecture", "parameters", "without embeddings", "activations", "cache rows", "cache"}};
  for (const CountedModel& model : report.models) {
    const Complexity& cost = model.cost;
    work.push_back({model.architecture, whole(cost.entries.visible), whole(cost.entries.dense),
                    format_count(cost.flops.forward()), format_count(cost.flops.backward()),
                    format_count(cost.training_per_token()),
                    format_count(cost.training_per_trained_token())});
    memory.push_back({model.architecture, cost.parameters ? whole(*cost.parameters) : "-",
                      whole(cost.inner_parameters), bytes(cost.activations_float32),
                      cost.cache.kind == CacheCost::Kind::none ? "-" : whole(cost.cache.rows),
                      cache_text(cost.cache)});
  }
  fmt::print("one window, all layers and heads; per token: of a training step\n{}\n{}", format_table(work),
             format_table(memory));
}

void print_layers(const CountedModel& model) {
  std::vector<std::vector<std::string>> rows{{"layers", "rows", "queries", "rows out", "visible", "dense",
                                              "FLOP attention", "projections", "feed-forward"}};
  const auto& all = model.cost.layers;
  for (std::size_t first = 0; first < all.size();) {
    std::size_t last = first;
    const LayerCost& cost = all[first];
    while (last + 1 < all.size() && all[last + 1].like(cost)) ++last;
    rows.push_back({last == first ? fmt::format("{}", first + 1) : fmt::format("{}-{}", first + 1, last + 1),
                    whole(cost.rows), whole(cost.queries), whole(cost.rows_out), whole(cost.entries.visible),
                    whole(cost.entries.dense), format_count(cost.flops.attention),
                    format_count(cost.flops.projections + cost.flops.compression),
                    format_count(cost.flops.feed_forward)});
    first = last + 1;
  }
  fmt::print("\n{}, each of its layers forward\n{}", model.architecture, format_table(rows));
}

void print_paper(const ComplexityReport& report) {
  std::vector<std::vector<std::string>> rows{
      {"architecture", "visible, M", "dense, M", "the paper, M", "the paper, % of full", ""}};
  std::string notes;
  for (const CountedModel& model : report.models) {
    const PrintedEntries* printed = printed_entries(model.architecture);
    rows.push_back({model.architecture, fmt::format("{}", millions(model.cost.entries.visible)),
                    fmt::format("{}", millions(model.cost.entries.dense)),
                    printed == nullptr ? "-" : fmt::format("{}", printed->millions),
                    printed == nullptr ? "-" : fmt::format("{}", printed->percent),
                    printed == nullptr      ? "not in the paper"
                    : printed->note.empty() ? "the same"
                                            : "can't be derived"});
    if (printed != nullptr && !printed->note.empty())
      notes += fmt::format("{}: the printed {} {}.\n", model.architecture, printed->millions, printed->note);
  }
  fmt::print("\nattention entries beside the paper's Table 8, in millions\n{}\n{}", format_table(rows),
             notes);
}

void print_text(const ComplexityReport& report) {
  const CountedModel& first = report.models[0];
  const ModelConfig& config = first.config;
  fmt::print("{}: n {}, d {}, L {}, H {}, V {}, preset {}\n\n", harmless(report.name), first.cost.length,
             config.dim, config.layers, config.heads,
             config.vocab > 0 ? fmt::format("{}", config.vocab) : "not known", config.preset);
  print_costs(report);
  if (report.paper) {
    print_paper(report);
    fmt::print("Widths (d {}) and the vocabulary aren't said there; they are ours and change no entry.\n",
               config.dim);
  } else {
    print_layers(first);
  }
  for (const std::string& one : report.left_out) fmt::print("left out: {}\n", one);
}

/// The models in the order in which they are shown: the configuration's own first.
std::vector<std::string> chosen(const Options& options, const std::string& own) {
  std::vector<std::string> names = options.architectures;
  if (names.empty()) {
    names = architecture_names();
    std::stable_partition(names.begin(), names.end(), [&](const std::string& name) { return name == own; });
  }
  for (std::size_t i = 0; i < names.size(); ++i)
    require(std::count(names.begin(), names.end(), names[i]) == 1, "--architectures: '{}' is given twice",
            harmless(names[i]));
  return names;
}

ModelConfig model_of(const Options& options) {
  if (options.paper) return paper_setting();
  if (!options.config.empty()) return read_config(options.config, options.overrides).model;
  return parse_config("[data]\ntrain = \"none\"\n", "the defaults", options.overrides).model;
}

void run_complexity(const Options& options) {
  const Path output = options.output;
  if (!options.output.empty()) {
    std::vector<Path> inputs;
    if (!options.config.empty()) inputs.emplace_back(options.config);
    require_output("--output", output, ".html", inputs);
  }
  const ModelConfig config = model_of(options);
  const std::string name = options.paper            ? "The paper's Table 8"
                           : options.config.empty() ? "the defaults"
                                                    : options.config;
  ComplexityReport report = count_architectures(name, config, chosen(options, config.architecture),
                                                options.length > 0 ? options.length : config.sequence);
  report.paper = options.paper;
  require(!report.models.empty(), "none of these architectures can have these sizes; {}",
          report.left_out.empty() ? "" : report.left_out[0]);
  if (!options.output.empty()) write_output(output, render_complexity(report));
  if (options.json) {
    print_json(report);
    return;
  }
  print_text(report);
  if (config.vocab == 0) {
    fmt::print(
        "model.vocab is 0, that of the training data's tokenizer: embedding and classifier aren't counted "
        "(--set model.vocab=N)\n");
  }
  if (!options.output.empty()) fmt::print("wrote {}\n", output.string());
}

}  // namespace

void add_complexity(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "complexity", "Count what a model costs: attention entries, operations, parameters, memory");
  CLI::Option* config = command->add_option("CONFIG", options->config, "Configuration file (TOML)");
  CLI::Option* set =
      command->add_option("--set", options->overrides, "Override a field, e.g. --set model.dim=512")
          ->allow_extra_args(false)
          ->type_name("SECTION.KEY=VALUE");
  command
      ->add_option("--architectures", options->architectures,
                   "Count these, e.g. ecp,full (default: the configuration's, then all others)")
      ->delimiter(',')
      ->allow_extra_args(false)  // what comes after is the CONFIG
      ->type_name("A,B,..");
  CLI::Option* length =
      command
          ->add_option("--length", options->length,
                       "Tokens of the window instead of model.sequence; latents keep their share of it")
          ->check(whole_number(1, most_counted))
          ->type_name("N");
  command->add_flag("--paper", options->paper, "The setting of the paper's Table 8, beside its figures")
      ->excludes(config)
      ->excludes(set)
      ->excludes(length);
  command->add_flag("--json", options->json, "Print JSON");
  command->add_option("--output", options->output, "Write a web page with charts and pictures as well")
      ->type_name("FILE.html");
  command->footer(footer);
  command->callback([options] { run_complexity(*options); });
}

}  // namespace ecp::cli
