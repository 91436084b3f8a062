// A worker that times generation of one token after the other, with random weights. benchmarks/decode.py
// starts one for each type of weights and asks them in turn: each line "WHAT N" on standard input is answered
// by one JSON line. tokens: N tokens from where the stream is; prefill: N more tokens at once; read: the
// weights' size in memory is read N times.
//
//   bench_decode TYPE [section.key=value ...]     TYPE: float32, bfloat16 or int8; fields of [model], and
//                                                 train.threads
#include <algorithm>
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/base/parallel.h"
#include "ecp/base/random.h"
#include "ecp/base/system.h"
#include "ecp/config/config_file.h"
#include "ecp/config/parameters.h"
#include "ecp/runtime/float_buffer.h"
#include "ecp/runtime/model.h"
#include "ecp/weights/convert.h"
#include "ecp/weights/quantized.h"

namespace {

using namespace ecp;

constexpr const char* defaults = R"(
[model]
preset = "paper"
vocab = 28996
dim = 768
layers = 12
heads = 6
sequence = 2048
block = 256
dropout = 0.0
[data]
train = ["random tokens"]
)";

/// Random tensors of a model, matrices in `type`.
class RandomModel {
 public:
  RandomModel(const ModelConfig& config, const std::string& type) {
    for (const Parameter& parameter : parameters(config)) {
      std::vector<float> values(static_cast<std::size_t>(parameter.elements()));
      for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = 0.05f * static_cast<float>(random_uniform(1, i) - 0.5);
      }
      if (parameter.shape.size() != 2 || type == "float32") {
        add(parameter.name, DType::f32, parameter.shape, std::as_bytes(std::span(values)));
      } else if (type == "bfloat16") {
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
  /// Of what a token reads: all but the embedding, of which it reads a row.
  [[nodiscard]] std::int64_t bytes_per_token(const ModelConfig& config) const {
    std::int64_t sum = 0;
    for (const Stored& tensor : stored_) {
      const bool embedding = tensor.name.starts_with("embedding.weight") && !config.tie_embeddings;
      if (!embedding) sum += static_cast<std::int64_t>(tensor.bytes.size());
    }
    return sum;
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

/// Reads as much memory as a token's weights are, with all threads.
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
  [[nodiscard]] double bytes() const { return 4.0 * static_cast<double>(buffer_.size()); }

 private:
  runtime::FloatBuffer buffer_;
  ThreadPool pool_;
};

int run(const std::string& type, const std::vector<std::string>& overrides) {
  require(type == "float32" || type == "bfloat16" || type == "int8",
          "expected float32, bfloat16 or int8, got '{}'", type);
  const Config config = parse_config(defaults, "bench_decode", overrides);
  const int threads = config.train.threads > 0 ? static_cast<int>(config.train.threads) : available_cpus();
  std::shared_ptr<const Model> model;
  std::int64_t bytes = 0;
  {
    const RandomModel random(config.model, type);
    model = Model::create(config.model, random.tensors(), nullptr, threads);
    bytes = random.bytes_per_token(config.model);
  }
  Memory memory(bytes, threads);
  Session session = model->session();
  std::uint64_t drawn = 0;
  float ignored = 0;
  const auto feed = [&](int count) {
    std::vector<Token> tokens;
    for (int i = 0; i < count; ++i) {
      tokens.push_back(
          static_cast<Token>(random_bits(2, drawn++) % static_cast<std::uint64_t>(config.model.vocab)));
    }
    session.prompt(tokens);
  };
  for (std::string what; std::cin >> what;) {
    int count = 0;
    std::cin >> count;
    require(count > 0, "expected a number after '{}'", what);
    const auto start = std::chrono::steady_clock::now();
    nlohmann::json answer;
    if (what == "tokens") {
      for (int i = 0; i < count; ++i) {
        const Token token =
            static_cast<Token>(random_bits(3, drawn++) % static_cast<std::uint64_t>(config.model.vocab));
        ignored += session.forward(std::span(&token, 1)).front();
      }
    } else if (what == "prefill") {
      feed(count);
    } else if (what == "read") {
      for (int i = 0; i < count; ++i) ignored += memory.read();
    } else {
      fail("expected tokens, prefill or read and a number, got '{}'", what);
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (what == "read") answer["bytes_per_second"] = memory.bytes() * count / seconds;
    answer["seconds"] = seconds / count;
    answer["bytes_per_token"] = bytes;
    answer["position"] = session.position();
    std::cout << answer << std::endl;
  }
  return ignored == 0.123f ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    require(argc >= 2, "expected float32, bfloat16 or int8");
    return run(argv[1], {argv + 2, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << "bench_decode: error: " << error.what() << '\n';
    return 1;
  }
}
