#include "ecp/serve/http.h"

#include <atomic>
#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "ecp/base/error.h"
#include "ecp/base/version.h"
#include "ecp/serve/answer.h"

namespace ecp::serve {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;

// Errors as values: a client that goes is nothing exceptional.
constexpr auto use_result = asio::as_tuple(asio::use_awaitable);

/// A connection's part of the bytes that all of them hold.
class Share {
 public:
  explicit Share(std::uint64_t& all) : all_(all) {}
  ~Share() { set(0); }
  Share(const Share&) = delete;
  Share& operator=(const Share&) = delete;
  void set(std::uint64_t bytes) {
    all_ += bytes - mine_;
    mine_ = bytes;
  }

 private:
  std::uint64_t& all_;
  std::uint64_t mine_ = 0;
};

/// Status of what couldn't be read as a request; 0: nobody is there to be told.
std::pair<int, std::string> fault_of(const error_code& error, const HttpLimits& limits) {
  if (error == http::error::body_limit) {
    return {413, fmt::format("the body: expected at most {} bytes", limits.body)};
  }
  if (error == http::error::header_limit) {
    return {431, fmt::format("the request's head: expected at most {} bytes", limits.head)};
  }
  if (error == boost::system::errc::not_enough_memory) {
    return {503, "too much is being read from others: try again later"};
  }
  if (error == beast::error::timeout) return {408, "the request took too long to come"};
  if (error == http::error::end_of_stream || error == http::error::partial_message ||
      error.category() != make_error_code(http::error::bad_method).category()) {
    return {0, ""};
  }
  return {400, fmt::format("expected an HTTP/1.1 request: {}", error.message())};
}

}  // namespace

struct HttpServer::Impl {
  Impl(const HttpLimits& with, Headers always, HttpHandler how, HttpFault faults)
      : limits(with),
        headers(std::move(always)),
        handler(std::move(how)),
        fault(std::move(faults)),
        acceptor(context) {}

  HttpLimits limits;
  Headers headers;
  HttpHandler handler;
  HttpFault fault;
  asio::io_context context{1};
  tcp::acceptor acceptor;
  std::atomic<std::int64_t> open{0}, answering{0};
  std::uint64_t held = 0;  // bytes of bodies being read
  bool draining = false;
  std::function<void()> tick;

  void listen(const std::string& address, int port) {
    error_code error;
    const auto ip = asio::ip::make_address(address, error);
    require(!error, "--host: expected an IP address such as 127.0.0.1 or ::1, got '{}'", address);
    const tcp::endpoint endpoint(ip, static_cast<std::uint16_t>(port));
    acceptor.open(endpoint.protocol(), error);
    if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) acceptor.bind(endpoint, error);
    if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
    require(!error, "cannot listen on {} port {}: {}", address, port, error.message());
  }

  asio::awaitable<void> accept() {
    while (acceptor.is_open()) {
      auto [error, socket] = co_await acceptor.async_accept(use_result);
      if (error == asio::error::operation_aborted) break;
      if (error) {  // no descriptors left, for instance: somebody may close one
        asio::steady_timer pause(context, std::chrono::milliseconds(50));
        co_await pause.async_wait(use_result);
        continue;
      }
      if (open >= limits.connections) continue;  // closes it
      ++open;
      asio::co_spawn(context, connection(std::move(socket)), [this](const std::exception_ptr&) { --open; });
    }
  }

  asio::awaitable<void> beat() {
    asio::steady_timer timer(context);
    for (;;) {
      timer.expires_after(std::chrono::milliseconds(100));
      co_await timer.async_wait(use_result);
      tick();
    }
  }

  asio::awaitable<void> connection(tcp::socket socket) {
    error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    beast::tcp_stream stream(std::move(socket));
    beast::flat_buffer buffer;
    while (!draining) {
      if (buffer.size() == 0) {
        stream.expires_after(limits.idle);
        auto [error, count] = co_await stream.async_read_some(buffer.prepare(4096), use_result);
        if (error) break;
        buffer.commit(count);
      }
      http::request_parser<http::string_body> parser;
      parser.header_limit(static_cast<std::uint32_t>(limits.head));
      parser.body_limit(limits.body);
      stream.expires_after(limits.reading);
      const error_code error = co_await read(stream, buffer, parser);
      if (error) {
        const auto [status, message] = fault_of(error, limits);
        if (status != 0) co_await refuse(stream, fault(status, message));
        break;
      }
      ++answering;
      const bool go_on = co_await answer(stream, buffer, parser.release());
      --answering;
      if (!go_on) break;
    }
    stream.socket().shutdown(tcp::socket::shutdown_both, ignored);
  }

  template <class Parser>
  asio::awaitable<error_code> read(beast::tcp_stream& stream, beast::flat_buffer& buffer, Parser& parser) {
    const auto [error, count] = co_await http::async_read_header(stream, buffer, parser, use_result);
    if (error) co_return error;
    // Where the body ends must be sure, or its rest would be taken for another request.
    const auto coding = parser.get()[http::field::transfer_encoding];
    if (!coding.empty() && !beast::iequals(coding, "chunked")) {
      co_return make_error_code(http::error::bad_transfer_encoding);
    }
    // A client that waits to be asked for the body, as curl does with long ones.
    if (!parser.is_done() && beast::iequals(parser.get()[http::field::expect], "100-continue")) {
      http::response<http::empty_body> go(http::status::continue_, 11);
      co_await http::async_write(stream, go, use_result);
    }
    Share share(held);
    parser.eager(true);
    while (!parser.is_done()) {
      const auto [problem, some] = co_await http::async_read_some(stream, buffer, parser, use_result);
      if (problem) co_return problem;
      share.set(parser.get().body().size());
      if (held > limits.bodies) {
        co_return make_error_code(boost::system::errc::not_enough_memory);
      }
    }
    co_return error_code();
  }

  template <class Body>
  void fill(http::response<Body>& message, const HttpResponse& response) const {
    message.set(http::field::server, "ecp/" + std::string(version()));
    message.set(http::field::content_type, response.content_type);
    for (const auto& [name, value] : headers) message.set(name, value);
    for (const auto& [name, value] : response.headers) message.set(name, value);
  }

  /// What the client still sends is read for a moment: to close at once would take the answer from it.
  asio::awaitable<void> refuse(beast::tcp_stream& stream, HttpResponse response) {
    http::response<http::string_body> message(static_cast<http::status>(response.status), 11);
    fill(message, response);
    message.body() = std::move(response.body);
    message.keep_alive(false);
    message.prepare_payload();
    stream.expires_after(std::chrono::seconds(2));
    co_await http::async_write(stream, message, use_result);
    error_code ignored;
    stream.socket().shutdown(tcp::socket::shutdown_send, ignored);
    std::vector<char> rest(65536);
    for (;;) {
      auto [error, count] = co_await stream.async_read_some(asio::buffer(rest), use_result);
      if (error) break;
    }
  }

  /// True if the connection may go on with another request.
  asio::awaitable<bool> answer(beast::tcp_stream& stream, beast::flat_buffer& buffer,
                               http::request<http::string_body> request) {
    const bool keep = request.keep_alive() && !draining, chunked = request.version() >= 11;
    const auto answer = std::make_shared<Answer>(stream.get_executor(), limits.unread);
    const auto watching = std::make_shared<bool>(false);
    if (buffer.size() == 0) {
      *watching = true;
      asio::co_spawn(context, watch(stream, answer, watching), asio::detached);
    }
    {
      const auto target = std::string_view(request.target().data(), request.target().size());
      HttpRequest plain;
      plain.method = request.method_string();
      plain.path = target.substr(0, target.find('?'));
      plain.authorization = request[http::field::authorization];
      plain.host = request[http::field::host];
      plain.origin = request[http::field::origin];
      plain.body = std::move(request.body());
      const bool head_only = request.method() == http::verb::head;
      if (head_only) plain.method = "GET";
      handler(plain, std::make_shared<Held>(answer));
    }
    const bool written = co_await write(stream, *answer, request, keep, chunked);
    answer->close();
    // Nothing may refer to the stream any more.
    while (*watching) {
      error_code ignored;
      stream.socket().cancel(ignored);
      co_await asio::post(use_result);
    }
    const bool go_on = written && keep;
    co_return go_on;
  }

  /// Notices a client that goes. What it sends meanwhile, the next request, stays where it is.
  asio::awaitable<void> watch(beast::tcp_stream& stream, std::shared_ptr<Answer> answer,
                              std::shared_ptr<bool> watching) {
    auto [error] = co_await stream.socket().async_wait(tcp::socket::wait_read, use_result);
    if (!error) {
      char byte = 0;
      error_code problem;
      stream.socket().receive(asio::buffer(&byte, 1), tcp::socket::message_peek, problem);
      if (problem && problem != asio::error::would_block) answer->close();
    }
    *watching = false;
  }

  /// True if the answer is whole and the connection still of use.
  asio::awaitable<bool> write(beast::tcp_stream& stream, Answer& answer,
                              const http::request<http::string_body>& request, bool keep, bool chunked) {
    const bool head_only = request.method() == http::verb::head;
    bool begun = false;
    for (;;) {
      Answer::News news = answer.take();
      if (!news.any()) {
        co_await answer.timer().async_wait(use_result);
        answer.timer().expires_at(asio::steady_timer::time_point::max());
        continue;
      }
      if (news.gone) co_return false;
      stream.expires_after(limits.writing);
      if (news.head && !news.in_pieces) {
        http::response<http::string_body> message(static_cast<http::status>(news.head->status),
                                                  request.version());
        fill(message, *news.head);
        message.keep_alive(keep);
        message.body() = std::move(news.head->body);
        message.prepare_payload();
        if (head_only) message.body().clear();
        const auto [error, count] = co_await http::async_write(stream, message, use_result);
        co_return !error && !head_only;
      }
      if (news.head) {
        http::response<http::empty_body> message(static_cast<http::status>(news.head->status),
                                                 request.version());
        fill(message, *news.head);
        message.keep_alive(keep && chunked);
        message.chunked(chunked);
        http::response_serializer<http::empty_body> serializer(message);
        const auto [error, count] = co_await http::async_write_header(stream, serializer, use_result);
        if (error) co_return false;
        begun = true;
        news.pieces = news.head->body + news.pieces;
      }
      if (!begun) co_return false;  // an end without a beginning
      if (!news.pieces.empty()) {
        error_code error;
        if (chunked) {
          error = std::get<0>(
              co_await asio::async_write(stream, http::make_chunk(asio::buffer(news.pieces)), use_result));
        } else {
          error = std::get<0>(co_await asio::async_write(stream, asio::buffer(news.pieces), use_result));
        }
        if (error) co_return false;
      }
      if (!news.ended) continue;
      if (!chunked) co_return false;  // the connection's end is the answer's
      const auto [error, count] = co_await asio::async_write(stream, http::make_chunk_last(), use_result);
      co_return !error;
    }
  }
};

HttpServer::HttpServer(const std::string& address, int port, const HttpLimits& limits, Headers headers,
                       HttpHandler handler, HttpFault fault)
    : impl_(std::make_unique<Impl>(limits, std::move(headers), std::move(handler), std::move(fault))) {
  impl_->listen(address, port);
}

HttpServer::~HttpServer() = default;

int HttpServer::port() const { return impl_->acceptor.local_endpoint().port(); }

std::int64_t HttpServer::connections() const { return impl_->open; }

std::int64_t HttpServer::answering() const { return impl_->answering; }

void HttpServer::run(const std::function<void()>& tick) {
  impl_->tick = tick;
  asio::co_spawn(impl_->context, impl_->accept(), asio::detached);
  asio::co_spawn(impl_->context, impl_->beat(), asio::detached);
  impl_->context.run();
}

void HttpServer::drain() {
  impl_->draining = true;
  error_code ignored;
  impl_->acceptor.close(ignored);
}

void HttpServer::stop() { impl_->context.stop(); }

}  // namespace ecp::serve
