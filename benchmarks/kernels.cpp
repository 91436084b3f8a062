// The kernels one by one on one thread, with random operands: rates of bytes read and written, or of
// operations. ECP_CPU_ISA chooses the instruction set. For what they add up to: `ecp bench`.
#include <benchmark/benchmark.h>

#include <bit>
#include <cstdint>
#include <vector>

#include "ecp/base/parallel.h"
#include "ecp/base/random.h"
#include "ecp/kernels/activation.h"
#include "ecp/kernels/interval_attention.h"
#include "ecp/kernels/isa.h"
#include "ecp/kernels/matmul.h"
#include "ecp/kernels/matvec.h"
#include "ecp/kernels/norm.h"
#include "ecp/kernels/rope.h"

namespace {

using namespace ecp;
using namespace ecp::kernels;

std::vector<float> numbers(std::int64_t count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(random_uniform(1, i)) - 0.5f;
  return values;
}

void count_bytes(benchmark::State& state, std::int64_t each) {
  state.SetBytesProcessed(state.iterations() * each);
}
void count_operations(benchmark::State& state, double each) {
  state.counters["FLOP/s"] = benchmark::Counter(each, benchmark::Counter::kIsIterationInvariantRate);
}

template <WeightType type>
void matvec_of(benchmark::State& state) {
  const std::int64_t out = state.range(0), in = state.range(1), stride = weight_stride(type, in);
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(out * stride * size_of(type)));
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::uint8_t>(random_bits(2, i) & 0x3f);
  const std::vector<float> scales(static_cast<std::size_t>(out * weight_groups(in)), 0.01f), x = numbers(in);
  std::vector<float> y(static_cast<std::size_t>(out));
  const MatVec problem{
      .weight = {bytes.data(), type, in, scales.data()}, .x = x.data(), .y = y.data(), .out = out};
  for (auto _ : state) {
    matvec(problem);
    benchmark::ClobberMemory();
  }
  count_bytes(state, static_cast<std::int64_t>(bytes.size()));
}
BENCHMARK(matvec_of<WeightType::float32>)->Args({768, 768})->Args({3072, 768})->Args({768, 3072});
BENCHMARK(matvec_of<WeightType::bfloat16>)->Args({768, 768})->Args({3072, 768})->Args({768, 3072});
BENCHMARK(matvec_of<WeightType::int8>)->Args({768, 768})->Args({3072, 768})->Args({768, 3072});

void matmul_prefill(benchmark::State& state) {
  const std::int64_t rows = state.range(0), in = 768, out = 3072;
  ThreadPool pool(1);
  const std::vector<float> x = numbers(rows * in), weight = numbers(out * in);
  std::vector<float> y(static_cast<std::size_t>(rows * out));
  MatMul problem{
      .x = x.data(), .weight = float_weight(weight.data(), in), .y = y.data(), .rows = rows, .out = out};
  problem.x_stride = in;
  problem.y_stride = out;
  for (auto _ : state) matmul(problem, pool);
  count_operations(state, 2.0 * static_cast<double>(rows * in * out));
}
BENCHMARK(matmul_prefill)->Arg(16)->Arg(256);

void norm_rows(benchmark::State& state) {
  const std::int64_t rows = 64, width = state.range(0);
  const std::vector<float> x = numbers(rows * width), weight = numbers(width);
  std::vector<float> y(x.size());
  const Norm problem{x.data(), y.data(), weight.data(), nullptr, rows, width, width, width, 1e-5f};
  for (auto _ : state) {
    state.range(1) == 0 ? rms_norm(problem) : layer_norm(problem);
    benchmark::ClobberMemory();
  }
  count_bytes(state, 8 * rows * width);
}
BENCHMARK(norm_rows)->ArgNames({"width", "layer"})->Args({256, 0})->Args({768, 0})->Args({768, 1});

void rope_rows(benchmark::State& state) {
  const std::int64_t rows = 64, width = state.range(0);
  const std::vector<float> x = numbers(rows * width);
  std::vector<float> y(x.size()), table(static_cast<std::size_t>(2 * width));
  rope_table(rope_frequencies(width, 10000), 1234, table.data());
  const Rope problem{x.data(), y.data(), table.data(), rows, width, width, width, false};
  for (auto _ : state) {
    rope(problem);
    benchmark::ClobberMemory();
  }
  count_bytes(state, 8 * rows * width);
}
BENCHMARK(rope_rows)->Arg(64)->Arg(128);

void gelu_forward(benchmark::State& state) {
  const std::int64_t count = 65536;
  const std::vector<float> x = numbers(count);
  std::vector<float> y(x.size());
  for (auto _ : state) {
    gelu(x.data(), y.data(), count);
    benchmark::ClobberMemory();
  }
  count_bytes(state, 8 * count);
}
BENCHMARK(gelu_forward);

/// One head of ECP's blocks, n 4096.
template <Element element>
void attention_head(benchmark::State& state) {
  const std::int64_t n = 4096, width = state.range(0), block = state.range(1);
  const bool backwards = state.range(2) != 0;
  const auto rows = [&](std::uint64_t seed) {
    std::vector<float> values(static_cast<std::size_t>(n * width));
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(random_uniform(seed, i)) - 0.5f;
    if (element == Element::float32) return values;
    std::vector<float> halves(values.size() / 2);  // memory of bfloat16
    auto* to = reinterpret_cast<std::uint16_t*>(halves.data());
    for (std::size_t i = 0; i < values.size(); ++i) {
      to[i] = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(values[i]) >> 16);
    }
    return halves;
  };
  const std::vector<float> q = rows(1), k = rows(2), v = rows(3), grad = rows(4);
  std::vector<float> out(q.size()), dq(q.size()), dk(q.size()), dv(q.size()),
      sums(static_cast<std::size_t>(n));
  IntervalAttention problem;
  problem.element = element;
  problem.batch = problem.heads = problem.kv_heads = 1;
  problem.rows = problem.keys = n;
  problem.width = width;
  problem.q = {q.data(), 0, width, 0};
  problem.k = {k.data(), 0, width, 0};
  problem.v = {v.data(), 0, width, 0};
  problem.pattern = Pattern::ecp(block);
  problem.scale = 0.1f;
  const auto written = [&](std::vector<float>& to) { return WriteRows{to.data(), 0, width, 0}; };
  const AttentionForward results{written(out), sums.data()};
  const auto run_forward = [&] { forward(problem, results, 0, forward_tasks(problem)); };
  run_forward();
  const AttentionBackward gradients{.grad_out = {grad.data(), 0, width, 0},
                                    .out = {out.data(), 0, width, 0},
                                    .log_sum_exp = sums.data(),
                                    .grad_q = written(dq),
                                    .grad_k = written(dk),
                                    .grad_v = written(dv)};
  for (auto _ : state) {
    backwards ? backward(problem, gradients, 0, backward_tasks(problem)) : run_forward();
  }
  count_operations(
      state, (backwards ? 10.0 : 4.0) * static_cast<double>(problem.pattern.entries(n).visible * width));
}
BENCHMARK(attention_head<Element::float32>)
    ->ArgNames({"width", "block", "backward"})
    ->ArgsProduct({{64, 128}, {128, 256}, {0, 1}});
BENCHMARK(attention_head<Element::bfloat16>)
    ->ArgNames({"width", "block", "backward"})
    ->ArgsProduct({{64, 128}, {128, 256}, {0, 1}});

}  // namespace

int main(int argc, char** argv) {
  benchmark::AddCustomContext("ecp_isa", std::string(name_of(isa())));
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
