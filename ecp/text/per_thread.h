// State that threads need while they encode. For sources of this room.
#pragma once

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace ecp::text {

/// State of type T for each thread that encodes at a time, kept for the next one.
template <class T>
class PerThread {
 public:
  class Lent {
   public:
    explicit Lent(PerThread& owner) : owner_(owner) {
      const std::lock_guard lock(owner_.mutex_);
      if (owner_.idle_.empty()) return;
      state_ = std::move(owner_.idle_.back());
      owner_.idle_.pop_back();
    }
    Lent(const Lent&) = delete;
    Lent& operator=(const Lent&) = delete;
    ~Lent() {
      const std::lock_guard lock(owner_.mutex_);
      owner_.idle_.push_back(std::move(state_));
    }
    T& operator*() {
      if (!state_) state_ = std::make_unique<T>();
      return *state_;
    }

   private:
    PerThread& owner_;
    std::unique_ptr<T> state_;
  };

  [[nodiscard]] Lent lend() { return Lent(*this); }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<T>> idle_;
};

}  // namespace ecp::text
