// Many texts of one model at once: continuous batching. One thread owns the model. Each of its steps makes a
// token for every text in work, all together, and reads a piece of one prompt, so that a long prompt holds
// nobody up for long. What a text says depends on its prompt and sampling alone, not on its company.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "ecp/runtime/model.h"
#include "ecp/runtime/session.h"

namespace ecp {

/// What is asked for.
struct TextRequest {
  std::vector<Token> prompt;  // at least one token
  Sampling sampling;          // how each text is made
  std::int64_t choices = 1;   // texts; the i-th draws with seed + i
  bool score_prompt = false;  // tell how probable its tokens are
  /// Texts that aren't done by then are aborted.
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
};

/// Why a text ended other than by itself.
enum class Abort : std::uint8_t { deadline, shutdown, failure };

/// Who hears of a text as it is made. All calls come from the scheduler's thread, which waits for them.
class TextListener {
 public:
  virtual ~TextListener() = default;
  /// Once, before any token, if `score_prompt`.
  virtual void on_prompt(const std::vector<Generated>& tokens) = 0;
  /// Each token; the last one of a choice has a `finish`. A choice of no tokens has none: see `on_empty`.
  virtual void on_token(std::int64_t choice, const Generated& token) = 0;
  /// Instead of tokens, once, where max_tokens is 0.
  virtual void on_empty() = 0;
  /// Instead of what is missing; nothing follows.
  virtual void on_abort(Abort why, const std::string& message) = 0;
};

/// How much a scheduler takes on.
struct SchedulerOptions {
  std::int64_t slots = 16;   // texts in work at once
  std::int64_t queue = 256;  // requests that wait for slots
};

/// A moment's state, and what there was since the start.
struct SchedulerState {
  std::int64_t slots = 0;              // texts that could be in work
  std::int64_t active = 0;             // texts in work
  std::int64_t waiting = 0;            // requests that wait for slots
  std::uint64_t prompt_tokens = 0;     // read
  std::uint64_t generated_tokens = 0;  // of all texts
  std::uint64_t steps = 0;             // of which each makes a token for every text in work
  std::uint64_t cancelled = 0;         // texts
  std::uint64_t cache_bytes = 0;       // of the texts in work
};

/// Continuous batching over one model; thread-safe.
class Scheduler {
 public:
  /// Fails on slots or a queue outside 1 … 65,536.
  Scheduler(std::shared_ptr<const Model> model, const SchedulerOptions& options);
  /// Ends all texts as `shutdown`.
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  /// A request's handle: `cancel` ends its texts within a step, without another call of the listener once it
  /// has returned from the present one.
  class Ticket {
   public:
    /// May be called from any thread.
    void cancel() { cancelled_ = true; }

   private:
    friend class Scheduler;
    std::atomic<bool> cancelled_{false};
  };

  /// Null if the queue is full or `stop` was called. Fails on a request that can never be served: no prompt,
  /// unknown tokens, choices outside 1 … slots, wrong sampling. `listener` is kept until the request is over.
  std::shared_ptr<Ticket> submit(TextRequest request, std::shared_ptr<TextListener> listener);
  /// All of them or, returning nothing, none.
  std::vector<std::shared_ptr<Ticket>> submit(std::vector<TextRequest> requests,
                                              std::vector<std::shared_ptr<TextListener>> listeners);
  /// Takes no more requests; those it has go on.
  void stop();
  /// True once nothing is in work or waiting.
  [[nodiscard]] bool idle() const;
  [[nodiscard]] SchedulerState state() const;  ///< As it is now.
  /// What makes the texts.
  [[nodiscard]] const Model& model() const { return *model_; }

 private:
  struct Job;

  void require_possible(const TextRequest& request) const;
  void run();
  bool admit();
  void step();
  void read_prompts();
  void read_piece(Job& job, std::span<const Token> piece);
  void begin_texts(Job& job);
  void make_tokens();
  void guarded(Job& job, const std::function<void()>& work);
  void drop_gone();
  void drop_finished();
  void publish();

  std::shared_ptr<const Model> model_;
  SchedulerOptions options_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::unique_ptr<Job>> waiting_;
  bool stopped_ = false, ended_ = false;
  SchedulerState state_;

  // Of the scheduler's thread.
  std::vector<std::unique_ptr<Job>> working_;
  SchedulerState counts_;
  std::thread thread_;
};

}  // namespace ecp
