#include "ecp/runtime/scheduler.h"

#include <algorithm>
#include <exception>
#include <span>
#include <utility>

#include "ecp/base/error.h"
#include "ecp/base/interrupt.h"

namespace ecp {
namespace {

constexpr std::size_t prompt_piece = 256;  // rows that a decoder computes at once anyway

}  // namespace

struct Scheduler::Job {
  struct Text {
    Session session;
    std::int64_t choice;
  };

  TextRequest request;
  std::shared_ptr<TextListener> listener;
  std::shared_ptr<Ticket> ticket;
  std::optional<Session> reading;  // until the whole prompt is read
  std::size_t read = 0;
  std::vector<Generated> scored;
  std::vector<Text> texts;
  bool over = false;
};

Scheduler::Scheduler(std::shared_ptr<const Model> model, const SchedulerOptions& options)
    : model_(std::move(model)), options_(options) {
  constexpr std::int64_t most = 65536;
  require(options.slots >= 1 && options.slots <= most, "slots: expected 1 to {}, got {}", most,
          options.slots);
  require(options.queue >= 1 && options.queue <= most, "queue: expected 1 to {}, got {}", most,
          options.queue);
  state_.slots = counts_.slots = options.slots;
  thread_ = std::thread([this] { run(); });
}

Scheduler::~Scheduler() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = ended_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Scheduler::require_possible(const TextRequest& request) const {
  require(!request.prompt.empty(), "prompt: expected at least one token");
  for (const Token token : request.prompt) {
    require(token < model_->config().vocab, "prompt: expected tokens below the vocabulary's size {}, got {}",
            model_->config().vocab, token);
  }
  require(request.choices >= 1 && request.choices <= options_.slots,
          "n: expected 1 to {}, as many texts as there are slots, got {}", options_.slots, request.choices);
  request.sampling.validate();
}

std::shared_ptr<Scheduler::Ticket> Scheduler::submit(TextRequest request,
                                                     std::shared_ptr<TextListener> listener) {
  auto tickets = submit(std::vector{std::move(request)}, std::vector{std::move(listener)});
  return tickets.empty() ? nullptr : tickets.front();
}

std::vector<std::shared_ptr<Scheduler::Ticket>> Scheduler::submit(
    std::vector<TextRequest> requests, std::vector<std::shared_ptr<TextListener>> listeners) {
  std::vector<std::unique_ptr<Job>> jobs;
  std::vector<std::shared_ptr<Ticket>> tickets;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    require_possible(requests[i]);
    auto job = std::make_unique<Job>();
    job->request = std::move(requests[i]);
    job->listener = std::move(listeners.at(i));
    job->ticket = std::make_shared<Ticket>();
    tickets.push_back(job->ticket);
    jobs.push_back(std::move(job));
  }
  {
    const std::lock_guard lock(mutex_);
    const auto room = options_.queue - static_cast<std::int64_t>(waiting_.size());
    if (stopped_ || static_cast<std::int64_t>(jobs.size()) > room) return {};
    for (auto& job : jobs) waiting_.push_back(std::move(job));
    state_.waiting = static_cast<std::int64_t>(waiting_.size());
  }
  wake_.notify_all();
  return tickets;
}

void Scheduler::stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
}

bool Scheduler::idle() const {
  const std::lock_guard lock(mutex_);
  return waiting_.empty() && state_.active == 0;
}

SchedulerState Scheduler::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

void Scheduler::run() {
  leave_stop_requests_to_others();
  while (admit()) step();
  std::deque<std::unique_ptr<Job>> left;
  {
    const std::lock_guard lock(mutex_);
    left.swap(waiting_);
  }
  for (auto& job : working_) left.push_back(std::move(job));
  working_.clear();
  for (const auto& job : left) {
    if (job != nullptr && !job->over) job->listener->on_abort(Abort::shutdown, "the server is stopping");
  }
  publish();
}

/// Gives free slots to those who wait, in order; waits where there is nothing to do. False at the end.
bool Scheduler::admit() {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [&] { return ended_ || !working_.empty() || !waiting_.empty(); });
  if (ended_) return false;
  std::int64_t taken = 0;
  for (const auto& job : working_) taken += job->request.choices;
  // One behind that would fit doesn't overtake one that asks for more.
  while (!waiting_.empty() && taken + waiting_.front()->request.choices <= options_.slots) {
    taken += waiting_.front()->request.choices;
    working_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  state_.waiting = static_cast<std::int64_t>(waiting_.size());
  state_.active = taken;
  return true;
}

void Scheduler::step() {
  drop_gone();
  read_prompts();
  make_tokens();
  drop_finished();
  ++counts_.steps;
  publish();
}

/// Ends those whose clients went or whose time is over, also among those who wait.
void Scheduler::drop_gone() {
  const auto now = std::chrono::steady_clock::now();
  const auto is_gone = [&](const auto& job) {
    return job->ticket->cancelled_ || now >= job->request.deadline;
  };
  std::vector<std::unique_ptr<Job>> gone;
  const auto take = [&](auto& jobs) {
    for (auto& job : jobs) {
      if (is_gone(job)) gone.push_back(std::move(job));
    }
    std::erase(jobs, nullptr);
  };
  take(working_);
  {
    const std::lock_guard lock(mutex_);
    take(waiting_);
  }
  for (const auto& job : gone) {
    if (job->ticket->cancelled_) {
      ++counts_.cancelled;
    } else {
      job->listener->on_abort(Abort::deadline, "the request took longer than it may");
    }
  }
}

/// Does it, and ends the job if that fails.
void Scheduler::guarded(Job& job, const std::function<void()>& work) {
  try {
    work();
  } catch (const std::exception& error) {
    job.listener->on_abort(Abort::failure, error.what());
    job.over = true;
  }
}

/// A piece of a prompt that isn't read to its end, or several short ones.
void Scheduler::read_prompts() {
  for (std::size_t rows = 0; rows < prompt_piece;) {
    const auto found = std::find_if(working_.begin(), working_.end(),
                                    [](const auto& job) { return job->texts.empty() && !job->over; });
    if (found == working_.end()) return;
    Job& job = **found;
    const std::span<const Token> prompt = job.request.prompt;
    const auto piece = prompt.subspan(job.read, std::min(prompt_piece, prompt.size() - job.read));
    guarded(job, [&] { read_piece(job, piece); });
    rows += piece.size();
    std::rotate(found, found + 1, working_.end());  // the next piece is another prompt's
  }
}

void Scheduler::read_piece(Job& job, std::span<const Token> piece) {
  if (!job.reading) job.reading = model_->session(job.request.sampling);
  if (job.request.score_prompt) {
    for (Generated& token : job.reading->score(piece)) job.scored.push_back(std::move(token));
  } else {
    job.reading->prompt(piece);
  }
  job.read += piece.size();
  counts_.prompt_tokens += piece.size();
  if (job.read == job.request.prompt.size()) begin_texts(job);
}

void Scheduler::begin_texts(Job& job) {
  if (job.request.score_prompt) job.listener->on_prompt(std::exchange(job.scored, {}));
  if (job.request.sampling.max_tokens == 0) {
    job.listener->on_empty();
    job.over = true;
    return;
  }
  for (std::int64_t choice = 1; choice < job.request.choices; ++choice) {
    Session session = job.reading->fork();
    Sampling sampling = job.request.sampling;
    sampling.seed += static_cast<std::uint64_t>(choice);
    session.set_sampling(sampling);
    job.texts.push_back({std::move(session), choice});
  }
  job.texts.push_back({std::move(*job.reading), 0});
  job.reading.reset();
}

/// A token of each text.
void Scheduler::make_tokens() {
  std::vector<Session*> sessions;
  for (const auto& job : working_) {
    if (job->over) continue;
    for (Job::Text& text : job->texts) sessions.push_back(&text.session);
  }
  if (sessions.empty()) return;
  try {
    Session::prepare(sessions);
  } catch (const std::exception& error) {  // memory: nobody can go on
    for (const auto& job : working_) {
      if (job->over || job->texts.empty()) continue;
      job->listener->on_abort(Abort::failure, error.what());
      job->over = true;
    }
    return;
  }
  for (const auto& job : working_) {
    if (job->over) continue;
    guarded(*job, [&] {
      for (Job::Text& text : job->texts) {
        const auto token = text.session.step();
        if (!token) continue;
        ++counts_.generated_tokens;
        job->listener->on_token(text.choice, *token);
      }
    });
    const bool began = !job->texts.empty();
    std::erase_if(job->texts, [](const Job::Text& text) { return text.session.finish() != Finish::none; });
    if (began && job->texts.empty()) job->over = true;
  }
}

void Scheduler::drop_finished() {
  std::erase_if(working_, [](const auto& job) { return job->over; });
}

void Scheduler::publish() {
  std::uint64_t bytes = 0;
  std::int64_t active = 0;
  for (const auto& job : working_) {
    active += job->request.choices;
    if (job->reading) bytes += job->reading->cache_bytes();
    for (const Job::Text& text : job->texts) bytes += text.session.cache_bytes();
  }
  const std::lock_guard lock(mutex_);
  const std::int64_t waiting = static_cast<std::int64_t>(waiting_.size());
  state_ = counts_;
  state_.slots = options_.slots;
  state_.active = active;
  state_.waiting = waiting;
  state_.cache_bytes = bytes;
}

}  // namespace ecp
