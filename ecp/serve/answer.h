// Between whoever makes an answer, in any thread, and the connection that writes it, in the server's. Only
// http.cpp includes this: it knows of Asio.
#pragma once

#include <atomic>
#include <boost/asio.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "ecp/serve/http.h"

namespace ecp::serve {

namespace asio = boost::asio;

/// An answer on its way from whoever makes it to the connection, which sleeps in between.
class Answer : public Exchange {
 public:
  Answer(const asio::any_io_executor& executor, std::uint64_t most_unread)
      : executor_(executor), timer_(std::make_shared<asio::steady_timer>(executor)), unread_(most_unread) {
    timer_->expires_at(asio::steady_timer::time_point::max());
  }

  void respond(HttpResponse response) override {
    change([&] {
      head_ = std::move(response);
      ended_ = true;
    });
  }
  void begin(HttpResponse response) override {
    change([&] {
      head_ = std::move(response);
      in_pieces_ = true;
    });
  }
  void send(std::string piece) override {
    change([&] {
      waiting_ += piece.size();
      if (waiting_ > unread_) return leave();
      pieces_.push_back(std::move(piece));
    });
  }
  void end() override {
    change([&] { ended_ = true; });
  }
  void abandon() override {
    change([&] { leave(); });
  }
  void on_gone(std::function<void()> callback) override {
    bool gone = false;
    {
      const std::lock_guard lock(mutex_);
      gone = gone_;
      if (!gone) callback_ = std::move(callback);
    }
    if (gone) callback();
  }

  // For the connection.

  struct News {
    std::optional<HttpResponse> head;  // once
    bool in_pieces = false, ended = false, gone = false;
    std::string pieces;

    [[nodiscard]] bool any() const { return head.has_value() || ended || gone || !pieces.empty(); }
  };

  News take() {
    const std::lock_guard lock(mutex_);
    News news;
    news.head = std::exchange(head_, std::nullopt);
    news.in_pieces = in_pieces_;
    news.ended = ended_;
    news.gone = gone_;
    for (const std::string& piece : pieces_) news.pieces += piece;
    pieces_.clear();
    waiting_ = 0;
    return news;
  }
  asio::steady_timer& timer() { return *timer_; }
  /// The client is gone, or what it reads is over.
  void close() {
    std::function<void()> callback;
    {
      const std::lock_guard lock(mutex_);
      gone_ = true;
      callback = std::exchange(callback_, nullptr);
    }
    if (callback) callback();
    timer_->cancel();
  }

 private:
  template <class Change>
  void change(const Change& change) {
    std::function<void()> callback;
    {
      const std::lock_guard lock(mutex_);
      if (gone_) return;
      change();
      if (gone_) callback = std::exchange(callback_, nullptr);
    }
    if (callback) callback();
    // The connection looks before it sleeps, in the thread that this wakes it in.
    asio::post(executor_, [timer = timer_] { timer->cancel(); });
  }
  void leave() {
    gone_ = true;
    pieces_.clear();
  }

  asio::any_io_executor executor_;
  std::shared_ptr<asio::steady_timer> timer_;
  std::uint64_t unread_;
  std::mutex mutex_;
  std::optional<HttpResponse> head_;
  std::deque<std::string> pieces_;
  std::uint64_t waiting_ = 0;
  bool in_pieces_ = false, ended_ = false, gone_ = false;
  std::function<void()> callback_;
};

/// What a handler holds: its last owner gone, the answer can't come any more.
class Held : public Exchange {
 public:
  explicit Held(std::shared_ptr<Answer> answer) : answer_(std::move(answer)) {}
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() override {
    if (!over_) answer_->abandon();
  }
  void respond(HttpResponse response) override {
    over_ = true;
    answer_->respond(std::move(response));
  }
  void begin(HttpResponse response) override { answer_->begin(std::move(response)); }
  void send(std::string piece) override { answer_->send(std::move(piece)); }
  void end() override {
    over_ = true;
    answer_->end();
  }
  void abandon() override { answer_->abandon(); }
  void on_gone(std::function<void()> callback) override { answer_->on_gone(std::move(callback)); }

 private:
  std::shared_ptr<Answer> answer_;
  std::atomic<bool> over_{false};
};

}  // namespace ecp::serve
