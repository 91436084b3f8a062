// ecp data verify: whether token files are what was written.
#include <fmt/core.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/base/interrupt.h"
#include "ecp/cli/data.h"
#include "ecp/cli/terminal.h"
#include "ecp/text/token_statistics.h"

namespace ecp::cli {
namespace {

struct VerifyCommand {
  std::vector<std::string> files;
  bool json = false;
};

/// Everything that a token file says of itself.
TokenFileInfo verify(const std::string& path) {
  const TokenFile file(path);
  file.verify(progress_bar());
  const auto counts = count_text(file, file.size());  // reads the tokenizer, too
  if (counts && *counts != TextCounts{file.info().words, file.info().bytes}) {
    fail("token file '{}': its sidecar says {} words and {} bytes, its tokens stand for {} and {}", path,
         file.info().words, file.info().bytes, counts->words, counts->bytes);
  }
  return file.info();
}

void run_verify(const VerifyCommand& options) {
  const StopRequests stop;
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  bool good = true;
  for (const std::string& path : options.files) {
    try {
      const TokenFileInfo info = verify(path);
      results.push_back({{"file", path}, {"ok", true}, {"tokens", info.tokens}, {"hash", info.hash}});
      if (!options.json) fmt::print("{}: ok ({} tokens, hash {})\n", path, info.tokens, info.hash);
    } catch (const Interrupted&) {
      throw;
    } catch (const Error& error) {  // the others are looked at as well
      good = false;
      results.push_back({{"file", path}, {"ok", false}, {"error", error.what()}});
      if (!options.json) fmt::print(stderr, "ecp: error: {}\n", error.what());
    }
  }
  if (options.json)
    fmt::print("{}\n", results.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  if (!good) throw CLI::RuntimeError(1);
}

}  // namespace

void add_data_verify(CLI::App& data) {
  auto options = std::make_shared<VerifyCommand>();
  CLI::App* command = data.add_subcommand("verify", "Check that token files are what was written");
  command->add_option("FILE", options->files, "Token files")->required()->type_name("FILE.npy");
  command->add_flag("--json", options->json, "Print the results as one JSON list");
  command->footer(
      "Compares the tokens with the recorded hash and the vocabulary, the tokenizer beside them with its "
      "own, and the\n"
      "recorded words and bytes with the text that the tokens stand for. Exit code 1 if a file isn't as it "
      "should be.\n\n"
      "Example:\n"
      "  ecp data verify data/*.npy");
  command->callback([options] { run_verify(*options); });
}

}  // namespace ecp::cli
