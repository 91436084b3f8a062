// ecp ngram: unigram and bigram models as baselines, on the same tokens as a neural model.
#include <fmt/core.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/cli/commands.h"
#include "ecp/cli/terminal.h"
#include "ecp/text/ngram.h"

namespace ecp::cli {
namespace {

struct NgramCommand {
  std::vector<std::string> train;
  std::string test;
  bool json = false;
};

struct Row {
  std::string model;
  double discount;
  NgramScore score;
};

void print_json(const NgramCommand& options, const std::vector<Row>& rows) {
  nlohmann::ordered_json json = {
      {"train", options.train}, {"test", options.test}, {"models", nlohmann::ordered_json::array()}};
  for (const Row& row : rows) {
    json["models"].push_back({{"model", row.model},
                              {"discount", row.discount},
                              {"loss", row.score.loss()},
                              {"perplexity_token", row.score.perplexity_token()},
                              {"perplexity_word", row.score.perplexity_word()},
                              {"bits_per_byte", row.score.bits_per_byte()},
                              {"tokens", row.score.tokens},
                              {"words", row.score.words},
                              {"bytes", row.score.bytes}});
  }
  fmt::print("{}\n", json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

void print_table(const std::vector<Row>& rows) {
  std::vector<std::vector<std::string>> table = {
      {"model", "loss", "perplexity/token", "perplexity/word", "bits/byte", "tokens", "words", "bytes"}};
  for (const Row& row : rows) {
    table.push_back({row.model, fmt::format("{:.4f}", row.score.loss()),
                     fmt::format("{:.2f}", row.score.perplexity_token()),
                     fmt::format("{:.4g}", row.score.perplexity_word()),
                     fmt::format("{:.4f}", row.score.bits_per_byte()), std::to_string(row.score.tokens),
                     std::to_string(row.score.words), std::to_string(row.score.bytes)});
  }
  fmt::print("{}", format_table(table));
}

void run_ngram(const NgramCommand& options) {
  std::vector<std::shared_ptr<const TokenFile>> train;
  for (const std::string& path : options.train) train.push_back(std::make_shared<const TokenFile>(path));
  const TokenFile test(options.test);
  // Before the work, not after it.
  require(test.info().tokenizer_hash == train.front()->info().tokenizer_hash,
          "data file '{}': expected the tokenizer of the training files, got another", options.test);
  for (const auto& file : train) file->verify();
  test.verify();
  const NgramModel model(train, progress_bar());
  const std::vector<Row> rows = {{"unigram", model.unigram_discount(), model.score_unigram(test)},
                                 {"bigram", model.bigram_discount(), model.score_bigram(test)}};
  options.json ? print_json(options, rows) : print_table(rows);
}

}  // namespace

void add_ngram(CLI::App& app) {
  auto options = std::make_shared<NgramCommand>();
  CLI::App* command = app.add_subcommand("ngram", "Unigram and bigram baselines on token files");
  command->add_option("--train", options->train, "Token files to count in")->required()->type_name("A.npy");
  command->add_option("--test", options->test, "Token file to score, every token once")
      ->required()
      ->type_name("B.npy");
  command->add_flag("--json", options->json, "Print the result as one JSON object");
  command->footer(
      "Absolute discounting, interpolated with the lower order; discounts are estimated from the training "
      "counts.\n\n"
      "Example:\n"
      "  ecp ngram --train data/train.npy --test data/test.npy");
  command->callback([options] { run_ngram(*options); });
}

}  // namespace ecp::cli
