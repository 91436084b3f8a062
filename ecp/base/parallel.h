// A small pool of persistent threads for work of microseconds: parts are assigned to threads statically, so
// what a part computes never depends on timing, and a caller that writes each result in one part gets the
// same bits for any number of threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

namespace ecp {

class ThreadPool {
 public:
  /// `threads` counts the caller; 0: all available CPUs. Fails outside 0 … 1024.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int threads() const { return static_cast<int>(workers_.size()) + 1; }

  /// Calls work(part) once for each part in [0, parts), the caller's thread included; returns when all are
  /// done. Part p runs on lane p mod threads. The first lane's exception is rethrown. While another thread
  /// (or an outer part) uses the pool, the caller does all parts itself.
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
    std::atomic<std::uint32_t> ticket{0};  // raised by one for each job
    std::exception_ptr error;
    std::thread thread;
  };

  void run_erased(std::int64_t parts, Call call, void* context);
  void serve(std::int64_t lane, Worker& worker);
  void run_lane(std::int64_t lane, std::exception_ptr& error) const;

  std::vector<std::unique_ptr<Worker>> workers_;
  int spins_ = 0;
  std::atomic<bool> busy_{false};
  alignas(64) std::atomic<std::int64_t> running_{0};
  // The job, written before the tickets are raised.
  Call call_ = nullptr;
  void* context_ = nullptr;
  std::int64_t parts_ = 0, lanes_ = 0;
  bool stop_ = false;
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
