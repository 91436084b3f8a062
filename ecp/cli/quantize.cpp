// ecp quantize: a checkpoint with int8 weights, and what that costs.
#include <fmt/core.h>

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "ecp/base/error.h"
#include "ecp/base/interrupt.h"
#include "ecp/base/system.h"
#include "ecp/cli/arguments.h"
#include "ecp/cli/commands.h"
#include "ecp/cli/terminal.h"
#include "ecp/runtime/likelihood.h"
#include "ecp/runtime/model.h"
#include "ecp/text/same_tokenizer.h"
#include "ecp/weights/convert.h"
#include "ecp/weights/run_config.h"

namespace ecp::cli {
namespace {

struct Options {
  std::string checkpoint, output, data;
  std::int64_t tokens = 20'000;
  int threads = 0;
  bool json = false;
};

struct Cost {
  std::string data;
  Likelihood before, after;
};

/// The token file to measure on: as given, or what the checkpoint's run was validated on, if it is there and
/// the model generates with a cache.
std::optional<Path> data_of(const Options& options, const Checkpoint& checkpoint) {
  if (!options.data.empty()) return options.data;
  if (checkpoint.model().classes > 0 || checkpoint.model().is_latent()) return std::nullopt;
  const auto config = config_of_run(checkpoint);
  if (!config || config->data.validation.empty() || !std::filesystem::exists(config->data.validation))
    return std::nullopt;
  return config->data.validation;
}

void print_json(const Options& options, const Conversion& done, const std::optional<Cost>& cost) {
  nlohmann::ordered_json json = {
      {"output", options.output}, {"bytes_before", done.bytes_before}, {"bytes_after", done.bytes_after}};
  if (cost) {
    json["data"] = cost->data;
    json["tokens"] = cost->before.tokens;
    json["perplexity_before"] = std::exp(cost->before.loss);
    json["perplexity_after"] = std::exp(cost->after.loss);
  }
  fmt::print("{}\n", json.dump());
}

void run(const Options& options) {
  const StopRequests stop_requests;
  const Checkpoint checkpoint(options.checkpoint);
  const std::optional<Path> data = data_of(options, checkpoint);
  std::optional<TokenFile> file;
  std::optional<Cost> cost;
  const auto tokens = static_cast<std::uint64_t>(options.tokens) + 1;
  if (data) {  // before anything is written
    file.emplace(*data);
    if (const auto tokenizer = checkpoint.tokenizer()) require_checkpoints_tokenizer(*file, *tokenizer);
    file->verify();
    cost = Cost{data->string(),
                likelihood(*Model::load(checkpoint, options.threads), *file, tokens, progress_bar()),
                {}};
  }
  ConvertOptions convert;
  convert.dtype = DType::i8;
  convert.progress = progress_bar();
  const Conversion done = convert_checkpoint(checkpoint.folder(), options.output, convert);
  if (cost) {
    cost->after = likelihood(*Model::load(options.output, options.threads), *file, tokens, progress_bar());
  }
  if (options.json) return print_json(options, done, cost);
  fmt::print("{}: weights of {}, {} before\n", options.output, format_bytes(done.bytes_after),
             format_bytes(done.bytes_before));
  if (!cost) {
    fmt::print("perplexity: not measured ({})\n",
               checkpoint.model().classes > 0 || checkpoint.model().is_latent()
                   ? "ecp eval does, on both checkpoints"
                   : "for want of tokens: give --data, or a run whose data.validation is there");
    return;
  }
  const double was = std::exp(cost->before.loss), is = std::exp(cost->after.loss);
  fmt::print("perplexity per token: {:.4f}, {:.4f} before ({:+.3f} %), on {} tokens of {}\n", is, was,
             100 * (is / was - 1), cost->before.tokens, cost->data);
}

}  // namespace

void add_quantize(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("quantize", "Write a checkpoint with int8 weights, and tell what that costs");
  command->add_option("CHECKPOINT", options->checkpoint, "Checkpoint or run folder (its best, or else last)")
      ->required();
  command->add_option("--output", options->output, "Folder to write; must not exist")
      ->required()
      ->type_name("FOLDER");
  command
      ->add_option("--data", options->data,
                   "Token file to measure perplexity on; default the run's validation data")
      ->type_name("TOKENS.npy");
  command->add_option("--tokens", options->tokens, "How many of its tokens at most")
      ->check(whole_number(1, std::int64_t{1} << 40))
      ->type_name("N")
      ->capture_default_str();
  command->add_option("--threads", options->threads, "CPU threads; default all available")
      ->check(whole_number(1, most_threads))
      ->type_name("N");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer(
      "Matrices become int8 with a scale for each 64 neighbours of a row, about a quarter of float32's size "
      "and\n"
      "half of bfloat16's. Generation reads them as they are; evaluation and scoring compute with their "
      "values;\n"
      "training can't be resumed from them. Perplexity is that of generation, in windows of the trained "
      "length.\n\n"
      "Examples:\n"
      "  ecp quantize runs/austen --output austen-int8\n"
      "  ecp quantize runs/austen --output austen-int8 --data data/valid.npy --tokens 100000");
  command->callback([options] { run(*options); });
}

}  // namespace ecp::cli
