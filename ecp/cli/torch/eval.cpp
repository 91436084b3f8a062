// ecp eval: perplexity per token and per word, bits per byte; accuracy of a classifier or on a probe.
#include <ATen/Parallel.h>
#include <fmt/core.h>

#include <initializer_list>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/base/files.h"
#include "ecp/base/system.h"
#include "ecp/cli/arguments.h"
#include "ecp/cli/terminal.h"
#include "ecp/cli/torch/commands.h"
#include "ecp/cli/torch/eval_probe.h"
#include "ecp/eval/checkpoint_evaluation.h"
#include "ecp/eval/image_evaluation.h"

namespace ecp::cli {
namespace {

struct Options {
  std::string checkpoint, data, output, protocol = "standard", dtype = "float32";
  EvaluationOptions evaluation;
  std::vector<std::string> parts, distances;
  std::string page;
  std::int64_t examples = 200;
  int threads = 0;
  bool documents_apart = false, probe = false, json = false;
};

constexpr const char* footer =
    R"(Each token is scored once with at least --context tokens before it: windows of --window tokens with stride
window - context; the first window's rows have what there is. --context 0: disjoint windows, each counted whole.
If documents end with an end-of-text token, one stands before the first token; otherwise that counts as uniform.
--documents-apart: so for every document.
--protocol authors: windows with stride window / 2, every row of each window counted (arXiv 2412.06106).

Of a classifier of images: the share of images that it puts into their class, on the validation and the test part
of what its run trained on (or of --data FOLDER); of these options only --batch, --dtype, --threads and --parts count.

--probe: the share of a generated task's questions (data.probe of the checkpoint's run) that the model answers, by
the distance of what they ask for, and how far its layers let the last row see.

Examples:
  ecp eval runs/austen --data data/test.npy
  ecp eval runs/austen/checkpoints/last --data data/test.npy --context 768 --json
  ecp eval runs/austen --data data/test.npy --output runs/austen/evaluations/test.json
  ecp eval runs/cifar --output runs/cifar/evaluations/images.json
  ecp eval runs/passkey --probe --distances 8:504:8 --page passkey.html)";

std::string number(const std::optional<double>& value) { return value ? fmt::format("{:.4f}", *value) : "-"; }

std::string table(const Evaluation& result) {
  return format_table(
      {{"loss", "ppl/token", "ppl/word", "bits/byte", "tokens", "words", "bytes", "window", "context"},
       {number(result.loss), number(result.perplexity_token), number(result.perplexity_word),
        number(result.bits_per_byte), std::to_string(result.tokens), std::to_string(result.words),
        std::to_string(result.bytes), std::to_string(result.window), std::to_string(result.context)}});
}

std::string table(const ImageEvaluation& result) {
  std::vector<std::vector<std::string>> rows{{"images", "accuracy", "loss", "correct", "of"}};
  for (const auto& [part, accuracy] : result.parts) {
    rows.push_back({name_of(part), fmt::format("{:.2f} %", 100 * accuracy.accuracy), number(accuracy.loss),
                    std::to_string(accuracy.correct), std::to_string(accuracy.images)});
  }
  return format_table(rows);
}

/// Writes and prints what was found.
void report(const Options& options, nlohmann::ordered_json json, const std::string& shown) {
  nlohmann::ordered_json all = {{"checkpoint", options.checkpoint}};
  all.update(json);
  const std::string text = all.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  if (!options.output.empty()) write_output(options.output, text);
  fmt::print("{}", options.json ? text : shown);
}

/// Fails if options are given that only evaluation on text has.
void refuse_text_options(const Options& options, const char* with) {
  const EvaluationOptions& text = options.evaluation;
  for (const auto& [given, name] :
       std::initializer_list<std::pair<bool, const char*>>{{text.context >= 0, "--context"},
                                                           {text.window > 0, "--window"},
                                                           {text.tokens > 0, "--tokens"},
                                                           {text.scored_rows > 0, "--scored-rows"},
                                                           {options.protocol != "standard", "--protocol"},
                                                           {options.documents_apart, "--documents-apart"}}) {
    require(!given, "{}: expected none with {}", name, with);
  }
}

void run_classifier(const Options& options, const Checkpoint& checkpoint) {
  refuse_text_options(options, "a classifier");
  ImageEvaluationOptions images;
  images.data = options.data;
  for (const std::string& part : options.parts) images.parts.push_back(parse_image_part(part));
  images.accuracy.batch = options.evaluation.batch;
  images.accuracy.bfloat16 = options.evaluation.bfloat16;
  const ImageEvaluation result = evaluate_images(checkpoint, images, progress_bar());
  report(options, to_json(result), table(result));
}

void run_probe(const Options& options, const Checkpoint& checkpoint) {
  refuse_text_options(options, "--probe");
  require(options.data.empty(), "--data: expected none with --probe, whose questions are generated");
  require(options.parts.empty(), "--parts: expected none with --probe");
  const auto probe = probe_of(checkpoint);
  ProbeOptions asked;
  asked.distances = parse_distances(options.distances, *probe);
  asked.examples = options.examples;
  asked.batch = options.evaluation.batch;
  asked.bfloat16 = options.evaluation.bfloat16;
  const ProbeCurve curve = evaluate_probe(checkpoint, *probe, asked, progress_bar());
  if (!options.page.empty()) write_output(options.page, probe_page(curve));
  report(options, to_json(curve), probe_table(curve));
}

void run(Options options) {
  if (!options.page.empty())
    require_output("--page", options.page, ".html", with_checkpoint(options.checkpoint, {}));
  if (!options.output.empty())
    require_output("--output", options.output, ".json",
                   with_checkpoint(options.checkpoint, {Path(options.data).replace_extension(".json")}));
  at::set_num_threads(options.threads > 0 ? options.threads : available_cpus());
  options.evaluation.protocol = parse_protocol(options.protocol);
  require(options.protocol == "standard" || options.evaluation.context < 0,
          "--context: expected none with --protocol authors, whose stride is half a window");
  options.evaluation.cross_documents = !options.documents_apart;
  options.evaluation.bfloat16 = options.dtype == "bfloat16";
  const Checkpoint checkpoint{Path(options.checkpoint)};
  if (options.probe) return run_probe(options, checkpoint);
  if (checkpoint.model().classes > 0) return run_classifier(options, checkpoint);
  if (options.data.empty())
    throw CLI::RequiredError("--data TOKENS.npy (of a language model; --probe if its run trained on one)");
  require(options.parts.empty(), "--parts: expected none with a language model");
  const Evaluation result = evaluate_checkpoint(checkpoint, options.data, options.evaluation, progress_bar());
  nlohmann::ordered_json json = {{"data", options.data}};
  json.update(to_json(result));
  report(options, std::move(json), table(result));
  if (!options.json && !result.lossless)
    fmt::print("\nThe data's tokenizer loses text, which is counted in words and bytes but not paid for.\n");
}

}  // namespace

void add_eval(CLI::App& app) {
  auto options = std::make_shared<Options>();
  EvaluationOptions& evaluation = options->evaluation;
  CLI::App* command = app.add_subcommand(
      "eval", "Perplexity per token and per word, bits per byte; accuracy of a classifier or on a probe");
  command->add_option("CHECKPOINT", options->checkpoint, "Checkpoint or run folder (its best, or else last)")
      ->required();
  command
      ->add_option("--data", options->data,
                   "Token file, as written by ecp tokenize; of a classifier: folder of images")
      ->type_name("TOKENS.npy");
  command->add_option("--parts", options->parts, "Of a classifier's images: train, validation, test")
      ->delimiter(',')
      ->check(CLI::IsMember({"train", "validation", "test"}))
      ->type_name("PART,...")
      ->allow_extra_args(false);
  CLI::Option* probe =
      command->add_flag("--probe", options->probe, "Accuracy on the generated task of its run");
  command
      ->add_option("--distances", options->distances,
                   "Of --probe: D, FROM:TO or FROM:TO:STEP; default all, evenly")
      ->needs(probe)
      ->delimiter(',')
      ->type_name("D,...")
      ->allow_extra_args(false);
  command->add_option("--examples", options->examples, "Of --probe: questions at each distance")
      ->needs(probe)
      ->check(whole_number(1))
      ->type_name("N")
      ->capture_default_str();
  command->add_option("--page", options->page, "Of --probe: also write a page with the picture")
      ->needs(probe)
      ->type_name("FILE.html");
  command
      ->add_option("--context", evaluation.context,
                   "Tokens before each scored one at least; default half a window")
      ->check(whole_number(0))
      ->type_name("N");
  command->add_option("--window", evaluation.window, "Window in tokens; default the trained length")
      ->check(whole_number(1))
      ->type_name("N");
  command
      ->add_option(
          "--scored-rows", evaluation.scored_rows,
          "Count at most the last N rows of a window, as models that have no others must be; default all "
          "that have logits")
      ->check(whole_number(1))
      ->type_name("N");
  command->add_option("--batch", evaluation.batch, "Windows or images at a time")
      ->check(whole_number(1))
      ->type_name("B")
      ->capture_default_str();
  command->add_option("--tokens", evaluation.tokens, "Only the first N tokens")
      ->check(whole_number(1))
      ->type_name("N");
  command->add_option("--protocol", options->protocol, "Which windows and rows count")
      ->check(CLI::IsMember({"standard", "authors"}))
      ->capture_default_str();
  command->add_flag(
      "--documents-apart", options->documents_apart,
      "What a token sees stays inside its document, as in training with data.cross_documents = false");
  command->add_option("--dtype", options->dtype, "Type of matrix products")
      ->check(CLI::IsMember({"float32", "bfloat16"}))
      ->capture_default_str();
  command->add_option("--threads", options->threads, "CPU threads; default all available")
      ->check(whole_number(1, most_threads))
      ->type_name("N");
  command->add_option("--output", options->output, "Also write the result as JSON")->type_name("FILE.json");
  command->add_flag("--json", options->json, "Print JSON instead of a table");
  command->footer(footer);
  command->callback([options] { run(*options); });
}

}  // namespace ecp::cli
