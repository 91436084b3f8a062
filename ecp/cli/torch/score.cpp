// ecp score: loss, logits and gradients of given tokens, for comparison with other implementations.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros_like.h>
#include <fmt/core.h>

#include <cstring>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/base/files.h"
#include "ecp/base/system.h"
#include "ecp/cli/arguments.h"
#include "ecp/cli/torch/commands.h"
#include "ecp/model/language_model.h"
#include "ecp/text/npy.h"
#include "ecp/weights/checkpoint.h"

namespace ecp::cli {
namespace {

struct Options {
  std::string checkpoint, tokens, logits, grads, dtype = "float32";
  int threads = 0;
  bool json = false;
};

template <typename T>
void copy_tokens(const std::byte* data, const at::Tensor& out) {
  auto* to = out.mutable_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < out.numel(); ++i) {
    T value;
    std::memcpy(&value, data + static_cast<std::size_t>(i) * sizeof(T), sizeof(T));
    to[i] = static_cast<std::int64_t>(value);
  }
}

/// The .npy array [batch, n+1] as int64, each id below `vocab`.
at::Tensor read_tokens(const std::string& path, std::int64_t vocab) {
  const MappedFile file{Path(path)};
  const std::string dtype = parse_npy_header(file.bytes(), path, 0).dtype;
  require(dtype == "<i8" || dtype == "<i4" || dtype == "<u2" || dtype == "<u4",
          "'{}': expected dtype int64, int32, uint16 or uint32 (little-endian), got '{}'", path, dtype);
  const std::size_t item = dtype == "<i8" ? 8 : dtype == "<u2" ? 2 : 4;
  const NpyHeader header = parse_npy_header(file.bytes(), path, item);
  require(header.shape.size() == 2, "'{}': expected 2 dimensions [batch, n+1], got {}", path,
          header.shape.size());
  require(!header.fortran_order, "'{}': expected rows one after the other (C order), got Fortran order",
          path);
  require(header.shape[0] >= 1 && header.shape[1] >= 2,
          "'{}': expected [batch, n+1] with batch and n of at least 1, got [{}, {}]", path, header.shape[0],
          header.shape[1]);
  const at::Tensor tokens = at::empty(
      {static_cast<std::int64_t>(header.shape[0]), static_cast<std::int64_t>(header.shape[1])}, at::kLong);
  const std::byte* data = file.bytes().data() + header.data_offset;
  if (dtype == "<i8") copy_tokens<std::int64_t>(data, tokens);
  if (dtype == "<i4") copy_tokens<std::int32_t>(data, tokens);
  if (dtype == "<u2") copy_tokens<std::uint16_t>(data, tokens);
  if (dtype == "<u4") copy_tokens<std::uint32_t>(data, tokens);
  const auto* ids = tokens.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < tokens.numel(); ++i) {
    require(ids[i] >= 0 && ids[i] < vocab, "'{}': row {}, column {}: expected a token from 0 to {}, got {}",
            path, i / tokens.size(1), i % tokens.size(1), vocab - 1, ids[i]);
  }
  return tokens;
}

NamedTensor view_of(const std::string& name, const at::Tensor& tensor) {
  const auto* data = static_cast<const std::byte*>(tensor.const_data_ptr());
  return {name, {DType::f32, tensor.sizes().vec(), {data, tensor.nbytes()}}};
}

void write_gradients(const std::string& path, const LanguageModel& model) {
  std::vector<at::Tensor> gradients;  // alive until they are written
  std::vector<NamedTensor> views;
  const auto named = model.named_parameters();
  for (const Parameter& parameter : model.table()) {
    const at::Tensor& tensor = named[parameter.name];
    // A parameter that the model owns and does not use has a gradient of zero.
    gradients.push_back(tensor.grad().defined() ? tensor.grad().contiguous() : at::zeros_like(tensor));
    views.push_back(view_of(parameter.name, gradients.back()));
  }
  write_safetensors(path, views);
}

void run(const Options& options) {
  const std::vector<Path> inputs = with_checkpoint(options.checkpoint, {Path(options.tokens)});
  if (!options.logits.empty()) require_output("--logits", options.logits, ".safetensors", inputs);
  if (!options.grads.empty()) require_output("--grads", options.grads, ".safetensors", inputs);
  require(options.logits.empty() || options.logits != options.grads,
          "--logits, --grads: expected two files, got '{}' twice", options.logits);
  at::set_num_threads(options.threads > 0 ? options.threads : available_cpus());
  const Checkpoint checkpoint{Path(options.checkpoint)};
  LanguageModel model(checkpoint.model());
  model.load(checkpoint.weights());
  const at::Tensor tokens = read_tokens(options.tokens, checkpoint.model().vocab);
  const std::int64_t n = tokens.size(1) - 1, rows = tokens.size(0) * model.config().trained_rows(n);

  ForwardContext context;
  context.bfloat16 = options.dtype == "bfloat16";
  at::Tensor sum;
  {
    const at::AutoGradMode with_gradients(!options.grads.empty());
    sum = model.loss_sum(tokens, context);
  }
  if (!options.grads.empty()) {
    (sum / static_cast<double>(rows)).backward();
    write_gradients(options.grads, model);
  }
  if (!options.logits.empty()) {
    const at::NoGradGuard no_grad;
    const at::Tensor logits = model.logits(tokens.slice(1, 0, n), context).contiguous();
    const std::vector<NamedTensor> views{view_of("logits", logits)};
    write_safetensors(options.logits, views);
  }
  const double loss = sum.item<double>() / static_cast<double>(rows);
  if (options.json) {
    const nlohmann::ordered_json json = {
        {"loss", loss}, {"batch", tokens.size(0)}, {"n", n}, {"tokens", rows}};
    fmt::print("{}\n", json.dump(2));
  } else {
    fmt::print("loss {:.6f} nats per token over {} tokens ({} rows of {})\n", loss, rows, tokens.size(0), n);
  }
}

}  // namespace

void add_score(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("score", "Loss, logits and gradients of given tokens");
  command->add_option("CHECKPOINT", options->checkpoint, "Checkpoint or run folder")->required();
  command
      ->add_option("--tokens", options->tokens,
                   "Array [batch, n+1] of token ids (int64, int32, uint16 or uint32); each row predicts its "
                   "next token")
      ->required()
      ->type_name("FILE.npy");
  command
      ->add_option("--logits", options->logits,
                   "Write the tensor 'logits' [batch, rows, vocab], float32, of the rows that have them "
                   "(latent models: the last)")
      ->type_name("OUT.safetensors");
  command
      ->add_option("--grads", options->grads,
                   "Write the gradients of the mean loss under the parameters' names")
      ->type_name("OUT.safetensors");
  command->add_option("--dtype", options->dtype, "Type of matrix products")
      ->check(CLI::IsMember({"float32", "bfloat16"}))
      ->capture_default_str();
  command->add_option("--threads", options->threads, "CPU threads; default all available")
      ->check(whole_number(1, most_threads))
      ->type_name("N");
  command->add_flag("--json", options->json, "Print JSON");
  command->footer(
      "Example:\n  ecp score checkpoints/authors --tokens ids.npy --grads grads.safetensors --json");
  command->callback([options] { run(*options); });
}

}  // namespace ecp::cli
