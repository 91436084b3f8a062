// ecp data show: random windows of a token file as text.
#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/base/interrupt.h"
#include "ecp/base/random.h"
#include "ecp/cli/arguments.h"
#include "ecp/cli/data.h"
#include "ecp/cli/terminal.h"
#include "ecp/text/token_file.h"

namespace ecp::cli {
namespace {

struct ShowCommand {
  std::string file;
  std::int64_t windows = 3;
  std::int64_t length = 100;
  std::int64_t seed = 1;
  bool json = false;
};

/// A part of a document that lies in a window.
struct Part {
  std::uint64_t document, document_begin, begin;  // offsets in the file
  std::vector<std::int64_t> tokens;
  std::string text;
};

std::vector<Part> parts_of(const TokenFile& file, const Tokenizer& tokenizer, std::uint64_t begin,
                           std::uint64_t end) {
  const std::vector<std::uint64_t>& documents = file.info().documents;
  auto next = std::upper_bound(documents.begin(), documents.end(), begin);
  std::vector<Part> parts;
  for (std::uint64_t at = begin; at < end;) {
    const std::uint64_t stop = next == documents.end() ? end : std::min(end, *next);
    Part part{static_cast<std::uint64_t>(next - documents.begin()) - 1, *(next - 1), at, {}, {}};
    part.tokens.resize(static_cast<std::size_t>(stop - at));
    file.read(at, part.tokens);
    for (const std::int64_t token : part.tokens) part.text += tokenizer.bytes_of(static_cast<Token>(token));
    parts.push_back(std::move(part));
    at = stop;
    while (next != documents.end() && *next <= at) ++next;  // empty documents have nothing to show
  }
  return parts;
}

void print(const std::vector<Part>& parts, std::size_t documents, std::uint64_t begin, std::uint64_t end) {
  fmt::print("tokens {} to {}\n", begin, end - 1);
  for (const Part& part : parts) {
    fmt::print("-- document {} of {}, {}\n", part.document + 1, documents,
               part.begin == part.document_begin
                   ? std::string("from its beginning")
                   : fmt::format("from its token {}", part.begin - part.document_begin));
    std::string_view rest = part.text;
    while (!rest.empty()) {
      const std::size_t line = std::min(rest.find('\n'), rest.size());
      fmt::print("| {}\n", harmless(rest.substr(0, line)));
      rest.remove_prefix(std::min(line + 1, rest.size()));
    }
  }
}

void run_show(const ShowCommand& options) {
  const StopRequests stop;
  const TokenFile file(options.file);
  file.verify(progress_bar());
  const auto tokenizer = file.tokenizer();
  const std::uint64_t length = std::min(static_cast<std::uint64_t>(options.length), file.size());
  auto json = nlohmann::ordered_json::array();
  for (std::int64_t i = 0; i < options.windows; ++i) {
    const std::uint64_t begin = random_below(
        file.size() - length + 1, static_cast<std::uint64_t>(options.seed), static_cast<std::uint64_t>(i));
    const std::vector<Part> parts = parts_of(file, *tokenizer, begin, begin + length);
    if (!options.json) {
      if (i > 0) fmt::print("\n");
      print(parts, file.info().documents.size(), begin, begin + length);
      continue;
    }
    nlohmann::ordered_json window = {
        {"begin", begin}, {"end", begin + length}, {"parts", nlohmann::ordered_json::array()}};
    for (const Part& part : parts) {
      window["parts"].push_back({{"document", part.document},
                                 {"document_begin", part.document_begin},
                                 {"begin", part.begin},
                                 {"tokens", part.tokens},
                                 {"text", part.text}});
    }
    json.push_back(std::move(window));
  }
  if (options.json)
    fmt::print("{}\n", json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

}  // namespace

void add_data_show(CLI::App& data) {
  auto options = std::make_shared<ShowCommand>();
  CLI::App* command = data.add_subcommand("show", "Random windows of a token file as text");
  command->add_option("FILE", options->file, "Token file")->required()->type_name("FILE.npy");
  command->add_option("--windows", options->windows, "How many")
      ->check(whole_number(1, 1000000))
      ->capture_default_str();
  command->add_option("--length", options->length, "Tokens of each")
      ->check(whole_number(1, 100000000))
      ->capture_default_str();
  command->add_option("--seed", options->seed, "Of the random places")
      ->check(whole_number(0))
      ->capture_default_str();
  command->add_flag("--json", options->json, "Print the windows as one JSON list");
  command->footer(
      "Each part of a document has a line that says which one it is and where it begins. Control characters "
      "and bytes\n"
      "that aren't UTF-8 are shown as \\x1b.\n\n"
      "Example:\n"
      "  ecp data show data/train.npy --windows 5 --length 200");
  command->callback([options] { run_show(*options); });
}

}  // namespace ecp::cli
