// ecp bench: how fast this machine is at what this project does, beside what bounds it. Generation is timed
// here, the others by ecp-torch.
#include <memory>
#include <string>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/base/interrupt.h"
#include "ecp/bench/decode.h"
#include "ecp/cli/arguments.h"
#include "ecp/cli/bench_output.h"
#include "ecp/cli/commands.h"
#include "ecp/cli/delegate.h"
#include "ecp/cli/terminal.h"
#include "ecp/config/config_file.h"

namespace ecp::cli {
namespace {

/// The paper's twelve layers.
constexpr const char* model = R"(
[model]
preset = "paper"
vocab = 28996
dim = 768
layers = 12
heads = 6
sequence = 2048
block = 256
[data]
train = ["random tokens"]
)";

struct Options {
  BenchOptions bench;
  std::string checkpoint, dtype;
  std::vector<std::string> overrides;
  std::int64_t position = 0, streams = 1;
};

void run(const Options& options) {
  const StopRequests guard;
  const DecodeOptions decode{options.bench.threads, options.streams, options.position, progress_bar()};
  if (options.checkpoint.empty()) {
    const Config config = parse_config(model, "ecp bench decode", options.overrides);
    return run_bench("decode",
                     decode_bench(config.model, options.dtype.empty() ? "bfloat16" : options.dtype, decode),
                     options.bench);
  }
  require(options.overrides.empty() && options.dtype.empty(),
          "--set and --dtype are for random weights; '{}' has its own", options.checkpoint);
  run_bench("decode", decode_bench(Checkpoint(options.checkpoint), decode), options.bench);
}

void add_decode(CLI::App& bench) {
  auto options = std::make_shared<Options>();
  CLI::App* command = bench.add_subcommand(
      "decode", "Generation, a token at a time, beside the rate at which memory can be read");
  command->add_option("CHECKPOINT", options->checkpoint, "Checkpoint or run folder; default random weights");
  command
      ->add_option("--dtype", options->dtype, "Random weights: float32, bfloat16 or int8; default bfloat16")
      ->check(CLI::IsMember({"float32", "bfloat16", "int8"}))
      ->type_name("TYPE");
  command
      ->add_option("--set", options->overrides,
                   "Random weights: a field of [model]; default the paper's twelve layers of width 768")
      ->type_name("SECTION.KEY=VALUE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--position", options->position, "Tokens that the stream has read before")
      ->check(whole_number(0, std::int64_t{1} << 40))
      ->type_name("N")
      ->capture_default_str();
  command
      ->add_option("--streams", options->streams,
                   "Also a token of each of so many streams, computed together")
      ->check(whole_number(1, 4096))
      ->type_name("N")
      ->capture_default_str();
  add_bench_options(*command, options->bench);
  command->footer(
      "Examples:\n"
      "  ecp bench decode\n"
      "  ecp bench decode --streams 16\n"
      "  ecp bench decode --dtype int8 --set model.dim=512 --set model.heads=8\n"
      "  ecp bench decode runs/austen --position 100000");
  command->callback([options] { run(*options); });
}

}  // namespace

void add_bench(CLI::App& app) {
  CLI::App* bench = app.add_subcommand("bench", "How fast this machine is, beside what bounds it");
  bench->require_subcommand(1);
  add_decode(*bench);
  add_torch_command(*bench, "bench attention",
                    "Attention, forward and backward, beside a library's matrix product");
  add_torch_command(*bench, "bench train", "Whole training steps beside a library's matrix product");
  add_torch_command(*bench, "bench loss", "Classifier and loss beside a library's matrix product");
  bench->footer(
      "What is measured and what bounds it take turns; operations are those that the model asks for: nothing "
      "that\n"
      "is masked counts, and nothing computed twice counts twice. Turns in which others used the same cores "
      "are\n"
      "taken again, and rounds that stayed disturbed are left out where three others are there.\n\n"
      "Examples:\n"
      "  ecp bench train --set train.dtype=bfloat16\n"
      "  ecp bench attention --block 128 --dtype float32 --json\n"
      "  ecp bench decode runs/austen");
}

}  // namespace ecp::cli
