#include "ecp/base/parallel.h"

#include <algorithm>

#include "ecp/base/error.h"
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
  require(threads >= 0 && threads <= 1024, "threads: expected 0 (all CPUs) to 1024, got {}", threads);
  const int cpus = available_cpus();
  if (threads == 0) threads = std::min(cpus, 1024);
  // With more threads than CPUs a spinning thread would keep a working one from running.
  spins_ = threads <= cpus ? 2000 : 0;
  for (int lane = 1; lane < threads; ++lane) {
    Worker& worker = *workers_.emplace_back(std::make_unique<Worker>());
    worker.thread = std::thread([this, lane, &worker] { serve(lane, worker); });
  }
}

ThreadPool::~ThreadPool() {
  stop_ = true;
  for (const auto& worker : workers_) {
    worker->ticket.fetch_add(1, std::memory_order_release);
    worker->ticket.notify_one();
  }
  for (const auto& worker : workers_) worker->thread.join();
}

void ThreadPool::run_lane(std::int64_t lane, std::exception_ptr& error) const {
  try {
    for (std::int64_t part = lane; part < parts_; part += lanes_) call_(context_, part);
  } catch (...) {
    error = std::current_exception();
  }
}

void ThreadPool::serve(std::int64_t lane, Worker& worker) {
  for (std::uint32_t seen = 0;;) {
    wait_while_equal(worker.ticket, seen, spins_);
    ++seen;
    if (stop_) return;
    run_lane(lane, worker.error);
    if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_one();
  }
}

void ThreadPool::run_erased(std::int64_t parts, Call call, void* context) {
  const std::int64_t lanes = std::min<std::int64_t>(parts, threads());
  if (lanes <= 1 || busy_.exchange(true, std::memory_order_acquire)) {
    for (std::int64_t part = 0; part < parts; ++part) call(context, part);
    return;
  }
  call_ = call;
  context_ = context;
  parts_ = parts;
  lanes_ = lanes;
  running_.store(lanes - 1, std::memory_order_relaxed);
  for (std::int64_t lane = 1; lane < lanes; ++lane) {
    Worker& worker = *workers_[static_cast<std::size_t>(lane - 1)];
    worker.ticket.fetch_add(1, std::memory_order_release);
    worker.ticket.notify_one();
  }
  std::exception_ptr error;
  run_lane(0, error);
  for (std::int64_t left = running_.load(std::memory_order_acquire); left > 0;
       left = running_.load(std::memory_order_acquire)) {
    wait_while_equal(running_, left, spins_);
  }
  for (std::int64_t lane = 1; lane < lanes; ++lane) {
    std::exception_ptr& other = workers_[static_cast<std::size_t>(lane - 1)]->error;
    if (!error) error = other;
    other = nullptr;
  }
  busy_.store(false, std::memory_order_release);
  if (error) std::rethrow_exception(error);
}

}  // namespace ecp
