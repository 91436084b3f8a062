// ecp bench attention, train, loss: options for what benches.h times.
#include <ATen/Parallel.h>

#include <memory>
#include <string>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/base/interrupt.h"
#include "ecp/base/system.h"
#include "ecp/cli/arguments.h"
#include "ecp/cli/bench_output.h"
#include "ecp/cli/torch/benches.h"
#include "ecp/cli/torch/commands.h"
#include "ecp/config/config_file.h"
#include "ecp/kernels/isa.h"
#include "ecp/train/task.h"

namespace ecp::cli {
namespace {

constexpr std::int64_t most = std::int64_t{1} << 32;

/// Six layers that take a second a step.
constexpr const char* small = R"(
[model]
preset = "paper"
vocab = 256
dim = 256
layers = 6
heads = 4
sequence = 1024
block = 128
dropout = 0.0
[data]
train = ["random tokens"]
[train]
batch = 4
lr = 5e-4
dtype = "auto"
)";

void add_size(CLI::App& command, const std::string& name, std::int64_t& value, const std::string& help) {
  command.add_option(name, value, help)->check(whole_number(1, most))->type_name("N")->capture_default_str();
}

void add_dtype(CLI::App& command, std::string& dtype) {
  command.add_option("--dtype", dtype, "float32, bfloat16, or auto: that, where the processor has it")
      ->check(CLI::IsMember({"auto", "float32", "bfloat16"}))
      ->type_name("TYPE")
      ->capture_default_str();
}

bool is_bfloat16(const std::string& dtype) {
  return dtype == "auto" ? kernels::has_bfloat16() : dtype == "bfloat16";
}

void use_threads(const BenchOptions& options) {
  at::set_num_threads(options.threads > 0 ? options.threads : available_cpus());
}

void add_attention(CLI::App& bench) {
  struct Options {
    BenchOptions bench;
    AttentionBench attention;
    std::string dtype = "auto";
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = bench.add_subcommand("attention", "Attention, forward and backward");
  add_size(*command, "--sequence", options->attention.sequence, "Tokens");
  command->add_option("--architecture", options->attention.architecture, "ecp, full or sliding")
      ->check(CLI::IsMember({"ecp", "full", "sliding"}))
      ->type_name("NAME")
      ->capture_default_str();
  add_size(*command, "--block", options->attention.block, "Length of ecp's blocks, or of the window");
  add_size(*command, "--heads", options->attention.heads, "Heads");
  add_size(*command, "--width", options->attention.width, "Width of a head");
  add_size(*command, "--batch", options->attention.batch, "Sequences");
  command->add_flag("--head-major", options->attention.head_major,
                    "Memory as [head, token, width], not as the model has it");
  add_dtype(*command, options->dtype);
  add_bench_options(*command, options->bench);
  command->footer(
      "Examples:\n"
      "  ecp bench attention\n"
      "  ecp bench attention --sequence 16384 --block 128 --dtype float32");
  command->callback([options] {
    const StopRequests guard;
    AttentionBench& attention = options->attention;
    attention.bfloat16 = is_bfloat16(options->dtype);
    require(attention.width % 8 == 0, "--width: expected a multiple of 8, got {}", attention.width);
    const double bytes = 20.0 * static_cast<double>(attention.batch) *
                         static_cast<double>(attention.sequence) * static_cast<double>(attention.heads) *
                         static_cast<double>(attention.width);
    require_free_memory(bytes, "the inputs (try a smaller --sequence)");
    use_threads(options->bench);
    run_bench("attention", bench_attention(attention), options->bench);
  });
}

void add_train_steps(CLI::App& bench) {
  struct Options {
    BenchOptions bench;
    std::string config;
    std::vector<std::string> overrides;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = bench.add_subcommand("train", "Whole training steps, on random tokens");
  command
      ->add_option("CONFIG", options->config, "TOML configuration; default a model of 5 million parameters")
      ->check(CLI::ExistingFile);
  command->add_option("--set", options->overrides, "Override a field of the configuration")
      ->type_name("SECTION.KEY=VALUE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  add_bench_options(*command, options->bench);
  command->footer(
      "Examples:\n"
      "  ecp bench train\n"
      "  ecp bench train configs/quickstart.toml --set train.dtype=bfloat16\n"
      "  ecp bench train --set model.dim=768 --set model.layers=12 --set model.heads=6 --set train.batch=1");
  command->callback([options] {
    const StopRequests guard;
    const Config config =
        resolved(options->config.empty() ? parse_config(small, "ecp bench train", options->overrides)
                                         : read_config(options->config, options->overrides));
    require(config.model.classes == 0, "'{}' is a classifier: only language models are timed",
            options->config);
    use_threads(options->bench);
    run_bench("train", bench_train(config), options->bench);
  });
}

void add_loss(CLI::App& bench) {
  struct Options {
    BenchOptions bench;
    LossBench loss;
    std::string dtype = "auto";
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      bench.add_subcommand("loss", "Classifier and cross-entropy, fused, with gradients and without");
  add_size(*command, "--tokens", options->loss.tokens, "Tokens");
  add_size(*command, "--dim", options->loss.dim, "Width of the model");
  add_size(*command, "--vocab", options->loss.vocab, "Size of the vocabulary");
  add_dtype(*command, options->dtype);
  add_bench_options(*command, options->bench);
  command->footer(
      "Examples:\n"
      "  ecp bench loss\n"
      "  ecp bench loss --tokens 8192 --vocab 50257");
  command->callback([options] {
    const StopRequests guard;
    LossBench& loss = options->loss;
    loss.bfloat16 = is_bfloat16(options->dtype);
    const double bytes = 8.0 * static_cast<double>(loss.dim) * static_cast<double>(loss.vocab + loss.tokens);
    require_free_memory(bytes, "the inputs (try a smaller --vocab)");
    use_threads(options->bench);
    run_bench("loss", bench_loss(loss), options->bench);
  });
}

}  // namespace

void add_torch_bench(CLI::App& app) {
  CLI::App* bench = app.add_subcommand("bench", "How fast this machine is, beside what bounds it");
  bench->require_subcommand(1);
  add_attention(*bench);
  add_train_steps(*bench);
  add_loss(*bench);
}

}  // namespace ecp::cli
