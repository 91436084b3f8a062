#include "ecp/machine/rates.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <omp.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <dnnl.hpp>
#include <string>
#include <vector>

#include "ecp/base/interrupt.h"
#include "ecp/base/parallel.h"
#include "ecp/base/random.h"
#include "ecp/base/system.h"
#include "ecp/kernels/matmul.h"
#include "ecp/kernels/matvec.h"

namespace ecp {
namespace {

constexpr std::int64_t side = 1024;  // of the square matrices
constexpr double gemm_operations = 2.0 * side * side * side;
constexpr double seconds_each = 0.4;  // of measuring one rate
constexpr int most_repeats = 200;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Seconds of the fastest of the repeats that fit into `seconds_each`, at least two.
template <class Work>
double fastest(Work work) {
  work();  // pages are mapped, kernels made
  const auto begin = Clock::now();
  double best = 0;
  for (int i = 0; i < 2 || (i < most_repeats && seconds_since(begin) < seconds_each); ++i) {
    check_interrupt();
    const auto start = Clock::now();
    work();
    const double seconds = seconds_since(start);
    if (i == 0 || seconds < best) best = seconds;
  }
  return std::max(best, 1e-9);
}

std::vector<float> numbers(std::int64_t count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(random_uniform(1, i)) - 0.5f;
  return values;
}

double gemm_float32(int threads, const std::vector<float>& a, const std::vector<float>& b) {
  ThreadPool pool(threads);
  std::vector<float> c(a.size());
  kernels::MatMul problem{.x = a.data(),
                          .weight = kernels::float_weight(b.data(), side),
                          .y = c.data(),
                          .rows = side,
                          .out = side};
  problem.x_stride = problem.y_stride = side;
  return gemm_operations / fastest([&] { kernels::matmul(problem, pool); });
}

/// oneDNN's own threads for as long as it lives.
class OmpThreads {
 public:
  explicit OmpThreads(int threads) { omp_set_num_threads(threads); }
  ~OmpThreads() { omp_set_num_threads(before_); }
  OmpThreads(const OmpThreads&) = delete;
  OmpThreads& operator=(const OmpThreads&) = delete;

 private:
  int before_ = omp_get_max_threads();
};

/// Training's products of bfloat16: sums in float32. 0 where oneDNN has no kernel.
double gemm_bfloat16(int threads, const std::vector<float>& a, const std::vector<float>& b) {
  using Memory = dnnl::memory;
  const OmpThreads limit(threads);
  const auto halved = [](const std::vector<float>& values) {
    std::vector<std::uint16_t> upper(values.size());
    for (std::size_t i = 0; i < values.size(); ++i)
      upper[i] = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(values[i]) >> 16);
    return upper;
  };
  std::vector<std::uint16_t> x = halved(a), y = halved(b);
  std::vector<float> z(a.size());
  try {
    const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    dnnl::stream stream(engine);
    const auto describe = [](Memory::data_type type) {
      return Memory::desc({side, side}, type, Memory::format_tag::ab);
    };
    const auto bf16 = describe(Memory::data_type::bf16), f32 = describe(Memory::data_type::f32);
    const dnnl::matmul product(dnnl::matmul::primitive_desc(dnnl::matmul::desc(bf16, bf16, f32), engine));
    return gemm_operations / fastest([&] {
             product.execute(stream, {{DNNL_ARG_SRC, Memory(bf16, engine, x.data())},
                                      {DNNL_ARG_WEIGHTS, Memory(bf16, engine, y.data())},
                                      {DNNL_ARG_DST, Memory(f32, engine, z.data())}});
             stream.wait();
           });
  } catch (const dnnl::error&) {
    return 0;
  }
}

/// A matrix times a vector, the work of generating a token: all of it is read once.
double memory_read(int threads, const std::vector<float>& matrix, std::int64_t columns) {
  ThreadPool pool(threads);
  const std::int64_t rows = static_cast<std::int64_t>(matrix.size()) / columns;
  const std::vector<float> x = numbers(columns);
  std::vector<float> y(static_cast<std::size_t>(rows));
  const std::int64_t parts = 8 * threads;
  const double seconds = fastest([&] {
    pool.run(parts, [&](std::int64_t part) {
      const auto [begin, end] = share_of(rows, parts, part);
      kernels::matvec({.weight = kernels::float_weight(matrix.data() + begin * columns, columns),
                       .x = x.data(),
                       .y = y.data() + begin,
                       .out = end - begin});
    });
  });
  return static_cast<double>(matrix.size() * sizeof(float)) / seconds;
}

/// A new file without a name; −1 where none can be made.
int nameless_file(const Path& folder) {
  const int file = ::open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
  if (file >= 0) return file;
  std::string name = (folder / ".ecp-doctor-XXXXXX").string();  // not all file systems have O_TMPFILE
  const int named = ::mkstemp(name.data());
  if (named >= 0) ::unlink(name.c_str());
  return named;
}

/// Seconds to write and sync, or a negative number where that fails.
double write_and_sync(const Path& folder, std::size_t bytes) {
  const std::string block(std::min(bytes, std::size_t{1} << 20), 'e');
  const int file = nameless_file(folder);
  if (file < 0) return -1;
  const auto begin = Clock::now();
  bool good = true;
  for (std::size_t done = 0; good && done < bytes; done += block.size())
    good = ::write(file, block.data(), block.size()) == static_cast<ssize_t>(block.size());
  good = good && ::fsync(file) == 0;
  const double seconds = seconds_since(begin);
  ::close(file);
  return good ? seconds : -1;
}

std::optional<DiskRates> measure_disk(const Path& folder) {
  constexpr std::size_t large = std::size_t{128} << 20, spare = std::size_t{256} << 20;
  struct statvfs space {};
  if (::statvfs(folder.c_str(), &space) != 0 || space.f_bavail * space.f_frsize < large + spare)
    return std::nullopt;
  std::vector<double> small;
  for (int i = 0; i < 9; ++i) {
    check_interrupt();
    small.push_back(write_and_sync(folder, 4096));
  }
  std::sort(small.begin(), small.end());
  const double seconds = write_and_sync(folder, large);
  if (small.front() < 0 || seconds <= 0) return std::nullopt;
  return DiskRates{static_cast<double>(large) / seconds, small[small.size() / 2], large};
}

}  // namespace

double measure_products(int threads, bool bfloat16) {
  const std::vector<float> a = numbers(side * side), b = numbers(side * side);
  return bfloat16 ? gemm_bfloat16(threads, a, b) : gemm_float32(threads, a, b);
}

Rates measure_rates(int threads, const Path& folder, const std::function<void(std::string_view what)>& tell) {
  const auto next = [&](std::string_view what) {
    if (tell) tell(what);
    check_interrupt();
  };
  const auto both = [&](auto measure) { return ThreadRates{measure(1), measure(threads)}; };
  Rates rates;
  rates.threads = threads;
  {
    const std::vector<float> a = numbers(side * side), b = numbers(side * side);
    next("matrix products in float32");
    rates.gemm_float32 = both([&](int count) { return gemm_float32(count, a, b); });
    next("matrix products in bfloat16");
    const ThreadRates bfloat16 = both([&](int count) { return gemm_bfloat16(count, a, b); });
    if (bfloat16.one > 0) rates.gemm_bfloat16 = bfloat16;
  }
  next("memory");
  {
    constexpr std::int64_t columns = 4096;
    const std::uint64_t wanted = std::uint64_t{512} << 20;
    const std::uint64_t bytes = std::max<std::uint64_t>(std::min(wanted, free_memory() / 4), 64 << 20);
    const auto rows = static_cast<std::int64_t>(bytes / sizeof(float)) / columns;
    const std::vector<float> matrix(static_cast<std::size_t>(rows * columns), 0.5f);
    rates.memory_bytes = matrix.size() * sizeof(float);
    rates.memory_read = both([&](int count) { return memory_read(count, matrix, columns); });
  }
  next("the disk");
  rates.disk = measure_disk(folder);
  return rates;
}

}  // namespace ecp
