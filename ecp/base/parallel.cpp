#include "ecp/base/parallel.h"

#include <algorithm>
#include <utility>

#include "ecp/base/error.h"
#include "ecp/base/interrupt.h"
#include "ecp/base/system.h"

namespace ecp {
namespace {

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

/// Waits until `value` isn't `old`: some tens of microseconds awake, for the next job mostly comes at once,
/// then asleep.
template <class T>
void wait_while_equal(const std::atomic<T>& value, T old, int spins) {
  for (int i = 0; i < spins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    pause();
  }
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  require(threads >= 0 && threads <= most_threads, "threads: expected 0 (all CPUs) to {}, got {}",
          most_threads, threads);
  const int cpus = available_cpus();
  if (threads == 0) threads = std::min(cpus, most_threads);
  // With more threads than CPUs a spinning thread would keep a working one from running.
  spins_ = threads <= cpus ? 2000 : 0;
  for (int other = 1; other < threads; ++other) {
    Worker& worker = *workers_.emplace_back(std::make_unique<Worker>());
    worker.thread = std::thread([this, &worker] { serve(worker); });
  }
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_relaxed);
  for (const auto& worker : workers_) {
    worker->ticket.fetch_add(1, std::memory_order_release);
    worker->ticket.notify_one();
  }
  for (const auto& worker : workers_) worker->thread.join();
}

void ThreadPool::serve(Worker& worker) {
  leave_stop_requests_to_others();
  for (std::uint32_t seen = 0;;) {
    wait_while_equal(worker.ticket, seen, spins_);
    seen = worker.ticket.load(std::memory_order_acquire);
    if (stop_.load(std::memory_order_relaxed)) return;
    work();
  }
}

/// Takes parts as long as there are any.
void ThreadPool::work() {
  for (std::uint64_t open = open_.load(std::memory_order_acquire); static_cast<std::uint32_t>(open) != 0;) {
    const Call call = call_.load(std::memory_order_relaxed);
    void* const context = context_.load(std::memory_order_relaxed);
    if (!open_.compare_exchange_weak(open, open - 1, std::memory_order_acq_rel, std::memory_order_acquire))
      continue;
    const auto part = static_cast<std::int64_t>(static_cast<std::uint32_t>(open)) - 1;
    try {
      call(context, part);
    } catch (...) {
      const std::lock_guard lock(error_mutex_);
      if (!error_ || part < error_part_) {
        error_ = std::current_exception();
        error_part_ = part;
      }
    }
    if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished_.notify_one();
    --open;
  }
}

void ThreadPool::run_erased(std::int64_t parts, Call call, void* context) {
  if (parts <= 1 || workers_.empty() || busy_.exchange(true, std::memory_order_acquire)) {
    for (std::int64_t part = 0; part < parts; ++part) call(context, part);
    return;
  }
  call_.store(call, std::memory_order_relaxed);
  context_.store(context, std::memory_order_relaxed);
  unfinished_.store(static_cast<std::uint32_t>(parts), std::memory_order_relaxed);
  const std::uint64_t job = (open_.load(std::memory_order_relaxed) >> 32) + 1;
  open_.store(job << 32 | static_cast<std::uint64_t>(parts), std::memory_order_release);
  const auto helpers = std::min<std::size_t>(workers_.size(), static_cast<std::size_t>(parts - 1));
  for (std::size_t i = 0; i < helpers; ++i) {
    workers_[i]->ticket.fetch_add(1, std::memory_order_release);
    workers_[i]->ticket.notify_one();
  }
  work();
  for (std::uint32_t left; (left = unfinished_.load(std::memory_order_acquire)) > 0;) {
    wait_while_equal(unfinished_, left, spins_);
  }
  const std::exception_ptr error = std::exchange(error_, nullptr);
  busy_.store(false, std::memory_order_release);
  if (error) std::rethrow_exception(error);
}

}  // namespace ecp
