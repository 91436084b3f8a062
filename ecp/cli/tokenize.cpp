// ecp tokenize: text into token files, with a given tokenizer or one trained on the same text.
#include <fmt/core.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/base/interrupt.h"
#include "ecp/base/system.h"
#include "ecp/cli/arguments.h"
#include "ecp/cli/commands.h"
#include "ecp/cli/terminal.h"
#include "ecp/text/input_file.h"
#include "ecp/text/tokenize.h"

namespace ecp::cli {
namespace {

struct TokenizeCommand {
  std::vector<std::string> inputs;
  std::string output;
  std::string tokenizer;
  std::string train;
  std::int64_t vocab_size = 4096;
  std::string format = "auto";
  std::int64_t threads = 0;
  std::int64_t seed = 1;
  bool deduplicate = false;
  bool force = false;
  bool json = false;
};

std::shared_ptr<const Tokenizer> choose_tokenizer(const TokenizeCommand& options,
                                                  const std::vector<Path>& inputs) {
  if (options.train.empty()) {
    if (options.tokenizer == "bytes") return byte_tokenizer();
    auto tokenizer = load_tokenizer(options.tokenizer);
    if (!tokenizer->verified()) {
      fmt::print(stderr, "ecp: warning: tokenizer '{}' has no recorded hash and could not be verified\n",
                 options.tokenizer);
    }
    if (const std::string differences = tokenizer->differences(); !differences.empty())
      fmt::print(stderr, "ecp: warning: tokenizer '{}': {}\n", options.tokenizer, differences);
    return tokenizer;
  }
  SentencePieceTraining training;
  training.type = options.train;
  training.vocab_size = options.vocab_size;
  training.threads = options.threads;
  training.seed = static_cast<std::uint64_t>(options.seed);
  const auto bar = progress_bar();
  return train_on_corpus(
      inputs, parse_corpus_format(options.format), training, [&](const Progress& progress) {
        bar(progress);
        if (progress.done == progress.total) {
          fmt::print(stderr, "training a {} tokenizer of {} tokens\n", options.train, options.vocab_size);
        }
      });
}

void print_result(const TokenizeCommand& options, const TokenFileInfo& info, double seconds) {
  const Path output(options.output);
  if (options.json) {
    nlohmann::ordered_json json = {{"output", output.string()},
                                   {"format", info.corpus_format},
                                   {"tokenizer", info.tokenizer_kind},
                                   {"tokenizer_hash", info.tokenizer_hash},
                                   {"vocab_size", info.vocab_size},
                                   {"documents", info.documents.size()},
                                   {"tokens", info.tokens},
                                   {"words", info.words},
                                   {"bytes", info.bytes},
                                   {"bytes_per_token", ratio(info.bytes, info.tokens)},
                                   {"hash", info.hash},
                                   {"seconds", seconds}};
    if (info.duplicates) json["duplicates"] = *info.duplicates;
    fmt::print("{}\n", json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
    return;
  }
  fmt::print("{}", format_table(
                       {{"", "documents", "tokens", "words", "bytes", "bytes/token"},
                        {output.filename().string(), std::to_string(info.documents.size()),
                         std::to_string(info.tokens), std::to_string(info.words), std::to_string(info.bytes),
                         fmt::format("{:.3f}", ratio(info.bytes, info.tokens))}}));
  if (info.duplicates) fmt::print("\nleft out {} documents that occur earlier", *info.duplicates);
  fmt::print("\nwrote {}, {} and {} ({}, {} tokens) in {}\n", output.string(),
             sidecar_path(output).filename().string(), tokenizer_path(output).filename().string(),
             info.tokenizer_kind, info.vocab_size, format_seconds(seconds));
}

void run_tokenize(const TokenizeCommand& options) {
  require(options.train.empty() != options.tokenizer.empty(),
          "tokenize: expected one of --tokenizer bytes|PATH and --train-tokenizer bpe|unigram");
  const auto start = std::chrono::steady_clock::now();
  const std::vector<Path> inputs(options.inputs.begin(), options.inputs.end());
  for (const Path& input : inputs) {
    require(options.train.empty() || !is_stream(input),
            "tokenize: '{}': --train-tokenizer reads its inputs twice; a stream can be read once",
            input.string());
  }
  check_output(options.output, options.force);  // before a long training, too
  const auto tokenizer = choose_tokenizer(options, inputs);
  TokenizeOptions tokenize;
  tokenize.format = parse_corpus_format(options.format);
  tokenize.threads = options.threads;
  tokenize.overwrite = options.force;
  tokenize.deduplicate = options.deduplicate;
  tokenize.progress = progress_bar();
  // From here on there are files to remove when it is interrupted; training a tokenizer, which can't be asked
  // to stop, just ends.
  const StopRequests stop;
  const TokenFileInfo info = tokenize_corpus(inputs, options.output, tokenizer, tokenize);
  print_result(options, info,
               std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}

}  // namespace

void add_tokenize(CLI::App& app) {
  auto options = std::make_shared<TokenizeCommand>();
  CLI::App* command = app.add_subcommand("tokenize", "Turn text into token files");
  command->add_option("INPUT", options->inputs, "Files, folders (read recursively) or -, standard input")
      ->required();
  command
      ->add_option("-o,--output", options->output,
                   "Token file to write, NAME.npy; NAME.json and NAME.tokenizer/ go beside it")
      ->required()
      ->type_name("NAME.npy");
  auto* tokenizer =
      command
          ->add_option("--tokenizer", options->tokenizer,
                       "bytes, a NAME.tokenizer folder, a SentencePiece .model, a BERT vocab.txt or a "
                       "Hugging Face tokenizer.json (BPE)")
          ->type_name("bytes|PATH");
  auto* train =
      command
          ->add_option("--train-tokenizer", options->train, "Train a SentencePiece tokenizer on the inputs")
          ->check(CLI::IsMember({"bpe", "unigram"}))
          ->type_name("bpe|unigram");
  tokenizer->excludes(train);
  command->add_option("--vocab-size", options->vocab_size, "Tokens of the tokenizer to train")
      ->needs(train)
      ->capture_default_str();
  command
      ->add_option("--seed", options->seed,
                   "Seed of the sample that a tokenizer is trained on (beyond 256 MiB)")
      ->check(CLI::NonNegativeNumber)
      ->needs(train)
      ->capture_default_str();
  command->add_option("--format", options->format, "What the inputs are; auto goes by extension")
      ->check(CLI::IsMember({"auto", "text", "jsonl", "wikitext", "bytes"}))
      ->type_name("auto|text|jsonl|wikitext|bytes")
      ->capture_default_str();
  command->add_option("--threads", options->threads, "Threads; 0: all CPUs")
      ->check(whole_number(0, most_threads))
      ->capture_default_str();
  command->add_flag("--deduplicate", options->deduplicate,
                    "Leave out documents whose text is that of an earlier one, byte for byte");
  command->add_flag("--force", options->force, "Replace an existing output");
  command->add_flag("--json", options->json, "Print the result as one JSON object");
  command->footer(
      "Formats: text (.txt, .md, others): each file is a document; jsonl (.jsonl): the string \"text\" of "
      "each line;\n"
      "wikitext (.tokens): articles, every line end counts as a word; bytes: anything, as enwik8.\n"
      "Inputs may be compressed with gzip, xz or zstd (novel.txt.gz). Standard input is text unless --format "
      "says otherwise.\n\n"
      "Examples:\n"
      "  ecp tokenize novels/ --output data/train.npy --train-tokenizer bpe --vocab-size 4096\n"
      "  ecp tokenize emma.txt --output data/test.npy --tokenizer data/train.tokenizer\n"
      "  ecp tokenize wiki.train.tokens --output data/wiki.npy --tokenizer vocab.txt\n"
      "  zstdcat dump.jsonl.zst | ecp tokenize - --format jsonl --output data/web.npy --tokenizer "
      "data/train.tokenizer\n"
      "  ecp tokenize enwik8 --format bytes --output data/enwik8.npy --tokenizer bytes");
  command->callback([options] { run_tokenize(*options); });
}

}  // namespace ecp::cli
