#include "ecp/bench/decode.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <span>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/base/interrupt.h"
#include "ecp/base/parallel.h"
#include "ecp/base/random.h"
#include "ecp/base/system.h"
#include "ecp/config/parameters.h"
#include "ecp/runtime/float_buffer.h"
#include "ecp/runtime/model.h"
#include "ecp/weights/convert.h"
#include "ecp/weights/quantized.h"

namespace ecp {
namespace {

/// Whether a token reads all of it, and not only a row, as of an embedding.
bool is_read(const std::string& tensor, const ModelConfig& config) {
  return config.tie_embeddings || !tensor.starts_with("embedding.weight");
}

/// Random tensors of a model, matrices in the type asked for.
class RandomWeights {
 public:
  RandomWeights(const ModelConfig& config, const std::string& dtype) {
    for (const Parameter& parameter : parameters(config)) {
      std::vector<float> values(static_cast<std::size_t>(parameter.elements()));
      for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = 0.05f * static_cast<float>(random_uniform(1, i) - 0.5);
      }
      if (parameter.shape.size() != 2 || dtype == "float32") {
        add(parameter.name, DType::f32, parameter.shape, std::as_bytes(std::span(values)));
      } else if (dtype == "bfloat16") {
        std::vector<std::uint16_t> halves;
        for (const float value : values) halves.push_back(to_bf16(value));
        add(parameter.name, DType::bf16, parameter.shape, std::as_bytes(std::span(halves)));
      } else {
        const QuantizedValues numbers = quantized(values, parameter.shape[1], parameter.name);
        add(parameter.name, DType::i8, parameter.shape, std::as_bytes(std::span(numbers.numbers)));
        add(scale_name(parameter.name), DType::f32, scale_shape(parameter.shape),
            std::as_bytes(std::span(numbers.scales)));
      }
    }
  }

  [[nodiscard]] std::vector<NamedTensor> tensors() const {
    std::vector<NamedTensor> all;
    for (const auto& [name, dtype, shape, bytes] : stored_) all.push_back({name, {dtype, shape, bytes}});
    return all;
  }

 private:
  struct Stored {
    std::string name;
    DType dtype;
    std::vector<std::int64_t> shape;
    std::vector<std::byte> bytes;
  };
  void add(const std::string& name, DType dtype, const std::vector<std::int64_t>& shape,
           std::span<const std::byte> bytes) {
    stored_.push_back({name, dtype, shape, {bytes.begin(), bytes.end()}});
  }

  std::vector<Stored> stored_;
};

/// As much memory as a token's weights are, read by all threads.
class Memory {
 public:
  Memory(std::int64_t bytes, int threads) : buffer_(bytes / 4), pool_(threads) {
    for (std::int64_t i = 0; i < buffer_.size(); ++i) buffer_.data()[i] = static_cast<float>(i % 7);
  }

  float read() {
    const std::int64_t parts = 16 * pool_.threads();
    std::vector<float> sums(static_cast<std::size_t>(parts));
    pool_.run(parts, [&](std::int64_t part) {
      const Share share = share_of(buffer_.size(), parts, part, 16);
      const float* from = buffer_.data();
      float sum[64] = {};
      std::int64_t i = share.begin;
      for (; i + 64 <= share.end; i += 64) {
        for (int lane = 0; lane < 64; ++lane) sum[lane] += from[i + lane];
      }
      for (const float lane : sum) sums[static_cast<std::size_t>(part)] += lane;
    });
    float all = 0;
    for (const float sum : sums) all += sum;
    return all;
  }

 private:
  runtime::FloatBuffer buffer_;
  ThreadPool pool_;
};

/// A stream of random tokens, and beside it others of the most probable ones.
class Stream {
 public:
  Stream(std::shared_ptr<const Model> model, std::int64_t bytes, int threads, std::int64_t streams)
      : model_(std::move(model)), session_(model_->session()), memory_(bytes, threads) {
    if (streams == 1) return;
    for (std::int64_t i = 0; i < streams; ++i) {
      const Token token = next();
      many_.push_back(model_->session({.temperature = 0, .max_tokens = -1, .ignore_end_of_text = true}));
      many_.back().prompt(std::span(&token, 1));
    }
    for (Session& session : many_) all_.push_back(&session);
  }

  void read(std::int64_t tokens, const ProgressFunction& progress) {
    constexpr std::int64_t at_once = 8192;
    for (std::int64_t done = 0; done < tokens;) {
      check_interrupt();
      std::vector<Token> part(static_cast<std::size_t>(std::min(at_once, tokens - done)));
      for (Token& token : part) token = next();
      session_.prompt(part);
      done += static_cast<std::int64_t>(part.size());
      if (progress) {
        progress({"reading the prompt", static_cast<std::uint64_t>(done), static_cast<std::uint64_t>(tokens),
                  "tokens"});
      }
    }
  }

  Timing generate(int tokens) {
    return timed([&] {
      for (int i = 0; i < tokens; ++i) {
        const Token token = next();
        used_ = used_ + session_.forward(std::span(&token, 1)).front();
      }
    });
  }
  Timing generate_many(int tokens) {
    return timed([&] {
      for (int i = 0; i < tokens; ++i) {
        Session::prepare(all_);
        for (Session& session : many_) session.next_token();
      }
    });
  }
  Timing read_memory(int times) {
    return timed([&] {
      for (int i = 0; i < times; ++i) used_ = used_ + memory_.read();
    });
  }

 private:
  template <class Run>
  Timing timed(const Run& run) {
    const auto start = std::chrono::steady_clock::now();
    run();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return {seconds, {{"position", static_cast<double>(session_.position())}}};
  }
  Token next() {
    const auto vocab = static_cast<std::uint64_t>(model_->config().vocab);
    return static_cast<Token>(random_bits(2, drawn_++) % vocab);
  }

  std::shared_ptr<const Model> model_;
  Session session_;
  std::vector<Session> many_;
  std::vector<Session*> all_;
  Memory memory_;
  std::uint64_t drawn_ = 0;
  volatile float used_ = 0;  // so that nothing is left out as unused
};

Bench bench_of(std::shared_ptr<const Model> model, double bytes, int threads, const std::string& what,
               const DecodeOptions& options) {
  const ModelConfig& config = model->config();
  Bench bench;
  bench.about =
      fmt::format("{}, d {}, L {}, vocabulary {}, {}, {:.0f} MB of weights a token, {} threads",
                  config.architecture, config.dim, config.layers, config.vocab, what, bytes * 1e-6, threads);
  bench.unit = "B/s";
  const auto stream =
      std::make_shared<Stream>(std::move(model), static_cast<std::int64_t>(bytes), threads, options.streams);
  stream->read(options.position, options.progress);
  bench.ceiling = {"memory read", bytes, 0, 5, [stream](int times) { return stream->read_memory(times); }};
  bench.works = {{"token", bytes, 1, 20, [stream](int tokens) { return stream->generate(tokens); }}};
  if (options.streams > 1) {
    bench.about += fmt::format(", {} streams", options.streams);
    bench.works.push_back({"streams", bytes, static_cast<double>(options.streams), 20,
                           [stream](int tokens) { return stream->generate_many(tokens); }});
  }
  return bench;
}

int threads_of(const DecodeOptions& options) {
  return options.threads > 0 ? options.threads : available_cpus();
}

}  // namespace

Bench decode_bench(const ModelConfig& model, const std::string& dtype, const DecodeOptions& options) {
  require(dtype == "float32" || dtype == "bfloat16" || dtype == "int8",
          "dtype: expected float32, bfloat16 or int8, got '{}'", dtype);
  require(model.vocab > 0, "model.vocab: expected the vocabulary's size");
  // As they are made, and as they are used.
  require_free_memory(8.0 * static_cast<double>(parameter_count(model)), "random weights");
  double bytes = 0;
  std::shared_ptr<const Model> made;
  {
    const RandomWeights weights(model, dtype);
    const std::vector<NamedTensor> tensors = weights.tensors();
    for (const NamedTensor& tensor : tensors) {
      if (is_read(tensor.name, model)) bytes += static_cast<double>(tensor.view.bytes.size());
    }
    made = Model::create(model, tensors, nullptr, threads_of(options));
  }
  return bench_of(std::move(made), bytes, threads_of(options), "random weights in " + dtype, options);
}

Bench decode_bench(const Checkpoint& checkpoint, const DecodeOptions& options) {
  double bytes = 0;
  const TensorSet weights = checkpoint.weights();
  for (const auto& [name, tensor] : weights.tensors()) {
    if (is_read(name, checkpoint.model())) bytes += static_cast<double>(tensor.bytes.size());
  }
  return bench_of(Model::load(checkpoint, threads_of(options)), bytes, threads_of(options),
                  checkpoint.folder().string(), options);
}

}  // namespace ecp
