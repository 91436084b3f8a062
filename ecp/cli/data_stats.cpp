// ecp data stats: what corpora and token files are made of.
#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/base/interrupt.h"
#include "ecp/cli/data.h"
#include "ecp/cli/terminal.h"
#include "ecp/text/token_statistics.h"

namespace ecp::cli {
namespace {

struct StatsCommand {
  std::vector<std::string> inputs;
  std::string tokenizer;
  std::string format = "auto";
  std::int64_t top = 20;
  bool json = false;
};

/// Of one token file, or of all texts together.
struct Described {
  std::string name;
  std::shared_ptr<const Tokenizer> tokenizer;  // null: texts that weren't tokenized
  std::optional<std::uint64_t> duplicates;
  TokenStatistics statistics;
};

/// "<newline>", "' the'".
std::string shown(const Tokenizer& tokenizer, Token token) {
  const std::string_view bytes = tokenizer.bytes_of(token);
  if (bytes.empty()) return tokenizer.end_of_text() == token ? "(end of text)" : "(special)";
  return fmt::format("'{}'", harmless(bytes));
}

nlohmann::ordered_json to_json(const Histogram& histogram) {
  auto json = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < histogram.size(); ++i) {
    if (histogram[i] == 0) continue;
    const std::uint64_t least = i == 0 ? 0 : std::uint64_t{1} << (i - 1);
    json.push_back({{"from", least}, {"to", i == 0 ? 0 : least + (least - 1)}, {"count", histogram[i]}});
  }
  return json;
}

nlohmann::ordered_json to_json(const Described& described, std::int64_t top) {
  const TokenStatistics& statistics = described.statistics;
  const bool tokens = described.tokenizer != nullptr;
  nlohmann::ordered_json json = {{"name", described.name},
                                 {"documents", statistics.documents},
                                 {"words", statistics.words},
                                 {"bytes", statistics.bytes},
                                 {"tokens", nullptr},
                                 {"length_unit", tokens ? "tokens" : "bytes"},
                                 {"shortest", statistics.shortest},
                                 {"longest", statistics.longest},
                                 {"lengths", to_json(statistics.lengths)}};
  if (described.duplicates) json["duplicates"] = *described.duplicates;
  if (!tokens) return json;
  json["tokens"] = statistics.tokens;
  json["bytes_per_token"] = ratio(statistics.bytes, statistics.tokens);
  json["vocab_size"] = described.tokenizer->vocab_size();
  json["distinct_tokens"] = statistics.distinct();
  json["frequencies"] = to_json(statistics.frequencies());
  json["most_frequent"] = nlohmann::ordered_json::array();
  for (const Token token : statistics.most_frequent(static_cast<std::size_t>(top))) {
    json["most_frequent"].push_back({{"token", token},
                                     {"text", described.tokenizer->bytes_of(token)},
                                     {"count", statistics.occurrences[token]}});
  }
  return json;
}

void print_histogram(const char* title, const char* what, const Histogram& histogram) {
  constexpr double longest_bar = 50;
  fmt::print("\n{}\n", title);
  const auto used = [](std::uint64_t count) { return count > 0; };
  const auto first = std::find_if(histogram.begin(), histogram.end(), used);
  const auto last = std::find_if(histogram.rbegin(), histogram.rend(), used).base();
  const auto most = static_cast<double>(*std::max_element(histogram.begin(), histogram.end()));
  std::vector<std::vector<std::string>> rows = {{what, "count", ""}};
  for (auto bin = first; bin < last; ++bin) {
    const auto i = bin - histogram.begin();
    const std::uint64_t least = i == 0 ? 0 : std::uint64_t{1} << (i - 1),
                        greatest = i == 0 ? 0 : least + (least - 1);
    const double bar = *bin == 0 ? 0 : std::max(1.0, static_cast<double>(*bin) / most * longest_bar);
    rows.push_back({least == greatest ? fmt::format("{}", least) : fmt::format("{}-{}", least, greatest),
                    fmt::format("{}", *bin), std::string(static_cast<std::size_t>(bar), '#')});
  }
  fmt::print("{}", format_table(rows));
}

void print(const Described& described, std::int64_t top) {
  const TokenStatistics& statistics = described.statistics;
  const bool tokens = described.tokenizer != nullptr;
  fmt::print("{}\n", described.name);
  fmt::print("  {} documents, {} words, {} bytes", statistics.documents, statistics.words, statistics.bytes);
  if (described.duplicates) fmt::print(" ({} duplicates left out)", *described.duplicates);
  if (tokens) {
    fmt::print("\n  {} tokens, {:.3f} bytes/token, {} of {} different tokens ({})", statistics.tokens,
               ratio(statistics.bytes, statistics.tokens), statistics.distinct(),
               described.tokenizer->vocab_size(), described.tokenizer->kind());
  }
  fmt::print("\n  documents of {} to {} {}\n", statistics.shortest, statistics.longest,
             tokens ? "tokens" : "bytes");
  print_histogram("Documents by length", tokens ? "tokens" : "bytes", statistics.lengths);
  if (!tokens) return;
  print_histogram("Tokens of the vocabulary by how often they occur", "occurrences",
                  statistics.frequencies());
  std::vector<std::vector<std::string>> rows = {{"text", "token", "count", "share"}};
  for (const Token token : statistics.most_frequent(static_cast<std::size_t>(top))) {
    rows.push_back({shown(*described.tokenizer, token), std::to_string(token),
                    std::to_string(statistics.occurrences[token]),
                    fmt::format("{:.2f}%", 100 * ratio(statistics.occurrences[token], statistics.tokens))});
  }
  fmt::print("\nMost frequent tokens\n{}", format_table(rows));
}

std::vector<Described> describe(const StatsCommand& options) {
  std::vector<Described> all;
  std::vector<Path> texts;
  const auto is_token_file = [](const std::string& input) { return Path(input).extension() == ".npy"; };
  std::remove_copy_if(options.inputs.begin(), options.inputs.end(), std::back_inserter(texts), is_token_file);
  require(options.tokenizer.empty() || !texts.empty(),
          "data stats: --tokenizer is for texts; token files have theirs beside them");
  for (const std::string& input : options.inputs) {
    if (!is_token_file(input)) continue;
    const TokenFile file(input);
    file.verify(progress_bar());
    all.push_back({input, file.tokenizer(), file.info().duplicates, statistics_of(file, progress_bar())});
  }
  if (texts.empty()) return all;
  Described text;
  if (options.tokenizer == "bytes")
    text.tokenizer = byte_tokenizer();
  else if (!options.tokenizer.empty())
    text.tokenizer = load_tokenizer(options.tokenizer);
  CorpusReader corpus(texts, parse_corpus_format(options.format));
  text.name = texts.size() == 1 ? texts.front().string()
                                : fmt::format("{} and {} more", texts.front().string(), texts.size() - 1);
  text.statistics = statistics_of(corpus, text.tokenizer.get(), progress_bar());
  all.push_back(std::move(text));
  return all;
}

void run_stats(const StatsCommand& options) {
  const StopRequests stop;
  const std::vector<Described> all = describe(options);
  if (options.json) {
    auto json = nlohmann::ordered_json::array();
    for (const Described& described : all) json.push_back(to_json(described, options.top));
    fmt::print("{}\n", json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
    return;
  }
  for (const Described& described : all) {
    if (&described != &all.front()) fmt::print("\n");
    print(described, options.top);
  }
}

}  // namespace

void add_data_stats(CLI::App& data) {
  auto options = std::make_shared<StatsCommand>();
  CLI::App* command = data.add_subcommand("stats", "Counts and histograms of token files or texts");
  command->add_option("INPUT", options->inputs, "Token files, or texts as `ecp tokenize` takes them")
      ->required()
      ->type_name("FILE.npy|TEXT");
  command->add_option("--tokenizer", options->tokenizer, "Count the tokens of texts with this tokenizer")
      ->type_name("bytes|PATH");
  command->add_option("--format", options->format, "What the texts are; auto goes by extension")
      ->check(CLI::IsMember({"auto", "text", "jsonl", "wikitext", "bytes"}))
      ->type_name("auto|text|jsonl|wikitext|bytes")
      ->capture_default_str();
  command->add_option("--top", options->top, "How many of the most frequent tokens to list")
      ->check(CLI::Range(0, 1000000))
      ->type_name("N")
      ->capture_default_str();
  command->add_flag("--json", options->json, "Print the results as one JSON list");
  command->footer(
      "Each token file is described by itself, all texts together.\n\n"
      "Examples:\n"
      "  ecp data stats data/train.npy\n"
      "  ecp data stats novels/ --tokenizer data/train.tokenizer");
  command->callback([options] { run_stats(*options); });
}

}  // namespace ecp::cli
