#include "ecp/kernels/matmul.h"

#include <omp.h>
#include <dnnl.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <map>
#include <mutex>
#include <new>
#include <shared_mutex>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/kernels/isa.h"
#include "ecp/kernels/scratch.h"

namespace ecp::kernels {
namespace {

constexpr std::int64_t tile_rows = 64;
constexpr std::int64_t tile_out = 256;
constexpr std::int64_t widened_out = 64;  // of weights that aren't float32: as such they should stay in cache

/// oneDNN runs each tile on the thread that asks for it; OpenMP's setting is restored, for others use it.
class OneThread {
 public:
  OneThread() { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_ = omp_get_max_threads();
};

struct Shape {
  std::int64_t rows, out, in, x_stride, y_stride;
  bool bias, accumulate;
  auto operator<=>(const Shape&) const = default;
};

struct alignas(64) CacheLine {
  std::byte bytes[64];
};

struct Primitive {
  dnnl::memory::desc x, weight, bias, y, scratch;
  dnnl::matmul run;
};

/// Created once; oneDNN obeys the forced instruction set only if told before its first primitive.
const dnnl::engine& engine() {
  static const dnnl::engine created = [] {
    if (const Isa chosen = isa(); isa_forced()) {
      constexpr dnnl::cpu_isa names[] = {dnnl::cpu_isa::sse41, dnnl::cpu_isa::avx2,
                                         dnnl::cpu_isa::avx512_core, dnnl::cpu_isa::avx512_core_bf16,
                                         dnnl::cpu_isa::avx512_core_amx};
      const auto status = dnnl::set_max_cpu_isa(names[static_cast<std::size_t>(chosen)]);
      require(status == dnnl::status::success, "ECP_CPU_ISA={}: oneDNN refuses it", name_of(chosen));
    }
    return dnnl::engine(dnnl::engine::kind::cpu, 0);
  }();
  return created;
}

Primitive create(const Shape& shape) {
  using Memory = dnnl::memory;
  constexpr auto f32 = Memory::data_type::f32;
  Primitive made;
  made.x = Memory::desc({shape.rows, shape.in}, f32, Memory::dims{shape.x_stride, 1});
  made.weight = Memory::desc({shape.in, shape.out}, f32, Memory::dims{1, shape.in});
  made.y = Memory::desc({shape.rows, shape.out}, f32, Memory::dims{shape.y_stride, 1});
  if (shape.bias) made.bias = Memory::desc({1, shape.out}, f32, Memory::dims{shape.out, 1});
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);  // primitives are shared by threads
  if (shape.accumulate) {
    dnnl::post_ops sum;
    sum.append_sum();
    attributes.set_post_ops(sum);
  }
  const auto description = shape.bias ? dnnl::matmul::desc(made.x, made.weight, made.bias, made.y)
                                      : dnnl::matmul::desc(made.x, made.weight, made.y);
  const dnnl::matmul::primitive_desc chosen(description, attributes, engine());
  made.scratch = chosen.scratchpad_desc();
  made.run = dnnl::matmul(chosen);
  return made;
}

const Primitive& primitive_for(const Shape& shape) {
  static std::shared_mutex mutex;
  static std::map<Shape, Primitive> known;
  {
    const std::shared_lock lock(mutex);
    if (const auto found = known.find(shape); found != known.end()) return found->second;
  }
  const std::unique_lock lock(mutex);
  if (const auto found = known.find(shape); found != known.end()) return found->second;
  return known.emplace(shape, create(shape)).first->second;
}

/// `weight`: the tile's rows of it, [outs, in].
void run_tile(const MatMul& p, const float* weight, std::int64_t row, std::int64_t rows, std::int64_t out,
              std::int64_t outs) {
  const OneThread one_thread;
  const Primitive& primitive =
      primitive_for({rows, outs, p.weight.in, p.x_stride, p.y_stride, p.bias != nullptr, p.accumulate});
  const auto memory = [](const dnnl::memory::desc& description, const float* data) {
    return dnnl::memory(description, engine(), const_cast<float*>(data));
  };
  thread_local dnnl::stream stream(engine());
  thread_local std::vector<CacheLine> scratch;
  scratch.resize(std::max(scratch.size(), primitive.scratch.get_size() / sizeof(CacheLine) + 1));
  std::unordered_map<int, dnnl::memory> arguments{
      {DNNL_ARG_SRC, memory(primitive.x, p.x + row * p.x_stride)},
      {DNNL_ARG_WEIGHTS, memory(primitive.weight, weight)},
      {DNNL_ARG_DST, memory(primitive.y, p.y + row * p.y_stride + out)},
      {DNNL_ARG_SCRATCHPAD, dnnl::memory(primitive.scratch, engine(), scratch.data())}};
  if (p.bias != nullptr) arguments.emplace(DNNL_ARG_BIAS, memory(primitive.bias, p.bias + out));
  primitive.run.execute(stream, arguments);
  stream.wait();
}

/// Rows [begin, end) of a tile row: whole tiles, then powers of two, so that few shapes serve any number of
/// rows.
std::vector<std::int64_t> row_boundaries(std::int64_t rows) {
  std::vector<std::int64_t> boundaries{0};
  for (std::int64_t row = 0; row < rows; boundaries.push_back(row)) {
    const auto left = static_cast<std::uint64_t>(rows - row);
    row += static_cast<std::int64_t>(std::min<std::uint64_t>(tile_rows, std::bit_floor(left)));
  }
  return boundaries;
}

}  // namespace

void matmul(const MatMul& p, ThreadPool& pool) {
  if (p.rows <= 0 || p.out <= 0) return;
  const std::vector<std::int64_t> rows = row_boundaries(p.rows);
  const auto down = static_cast<std::int64_t>(rows.size()) - 1;
  const auto tile = [&](const float* weight, std::int64_t i, std::int64_t out, std::int64_t outs) {
    const auto at = static_cast<std::size_t>(i);
    run_tile(p, weight, rows[at], rows[at + 1] - rows[at], out, outs);
  };
  try {
    if (p.weight.type == WeightType::float32) {
      const std::int64_t across = (p.out + tile_out - 1) / tile_out;
      pool.run(down * across, [&](std::int64_t part) {
        const std::int64_t out = part % across * tile_out;
        tile(static_cast<const float*>(p.weight.data) + out * p.weight.in, part / across, out,
             std::min(tile_out, p.out - out));
      });
      return;
    }
    pool.run((p.out + widened_out - 1) / widened_out, [&](std::int64_t part) {
      const std::int64_t out = part * widened_out, outs = std::min(widened_out, p.out - out);
      thread_local Scratch scratch;
      float* const wide = scratch.take(widened_out * p.weight.in);
      weight_to_float(p.weight.from_row(out), outs, wide);
      for (std::int64_t i = 0; i < down; ++i) tile(wide, i, out, outs);
    });
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_out_of_memory) throw std::bad_alloc();
    fail("oneDNN matrix product [{}, {}] x [{}, {}]: {}", p.rows, p.weight.in, p.weight.in, p.out,
         error.what());
  }
}

}  // namespace ecp::kernels
