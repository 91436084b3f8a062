// A small pool of persistent threads for work of microseconds. Which thread does a part is left to chance
// (one that is late finds its parts done by others), so a part must not depend on it; a caller that writes
// each result in one part then gets the same bits for any number of threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace ecp {

class ThreadPool {
 public:
  /// `threads` counts the caller; 0: all available CPUs. Fails outside 0 … most_threads.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int threads() const { return static_cast<int>(workers_.size()) + 1; }

  /// Calls work(part) once for each part in [0, parts), on the caller's thread and the others; returns when
  /// all are done. Of exceptions that of the lowest part is rethrown, after all parts. While another thread
  /// (or an outer part) uses the pool, the caller does all parts itself. `parts` is below 2^32.
  template <class Work>
  void run(std::int64_t parts, Work&& work) {
    const auto call = [](void* context, std::int64_t part) {
      (*static_cast<std::remove_reference_t<Work>*>(context))(part);
    };
    run_erased(parts, call, const_cast<void*>(static_cast<const void*>(std::addressof(work))));
  }

 private:
  using Call = void (*)(void*, std::int64_t);
  struct alignas(64) Worker {
    std::atomic<std::uint32_t> ticket{0};  // raised to wake the worker
    std::thread thread;
  };

  void run_erased(std::int64_t parts, Call call, void* context);
  void serve(Worker& worker);
  void work();

  std::vector<std::unique_ptr<Worker>> workers_;
  int spins_ = 0;
  std::atomic<bool> busy_{false}, stop_{false};
  // Parts nobody has taken yet. It reaches 0 before the job can end, so what a worker reads of the job before
  // it takes a part belongs to that part; the upper half counts jobs, so that a part is never taken for
  // another job's.
  alignas(64) std::atomic<std::uint64_t> open_{0};
  std::atomic<Call> call_{nullptr};
  std::atomic<void*> context_{nullptr};
  alignas(64) std::atomic<std::uint32_t> unfinished_{0};
  std::mutex error_mutex_;
  std::exception_ptr error_;
  std::int64_t error_part_ = 0;
};

/// Part `part` of `parts` nearly equal runs of [0, total), boundaries at multiples of `multiple`.
struct Share {
  std::int64_t begin, end;
};
constexpr Share share_of(std::int64_t total, std::int64_t parts, std::int64_t part,
                         std::int64_t multiple = 1) {
  const std::int64_t units = (total + multiple - 1) / multiple;
  const auto boundary = [&](std::int64_t p) {
    const std::int64_t at = (units / parts * p + units % parts * p / parts) * multiple;
    return at < total ? at : total;
  };
  return {boundary(part), boundary(part + 1)};
}

}  // namespace ecp
