// An HTTP/1.1 server that knows nothing of models: connections, limits, time-outs, answers whole or in pieces
// (Boost.Beast). One thread serves all connections; whoever answers may do so from any thread.
//
// Nobody can hold up others or grow memory without bound: the head and body of a request have a size and a
// time in which they must have come, what isn't read for a while ends its connection, and an answer in pieces
// that its reader doesn't take is cut off.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace ecp::serve {

struct HttpRequest {
  std::string method;  // "POST"
  std::string path;    // "/v1/models", without what follows a '?'
  std::string body;
  std::string authorization;  // "Bearer ...", or empty
  std::string host;           // "127.0.0.1:8080", as the client has it
  std::string origin;         // of the page that asks, "http://127.0.0.1:8080"; empty: no page
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers = {};
};

/// The answer to one request: whole, or in pieces. Thread-safe. Dropping it unanswered ends the connection.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual void respond(HttpResponse response) = 0;
  /// The head of an answer whose body comes in pieces; `response.body` is the first of them.
  virtual void begin(HttpResponse response) = 0;
  virtual void send(std::string piece) = 0;
  virtual void end() = 0;
  /// Breaks the connection off, so that the reader knows that something is missing.
  virtual void abandon() = 0;
  /// Called, from any thread, if the client goes before the answer's end; at once if it is gone.
  virtual void on_gone(std::function<void()> callback) = 0;
};

/// Called in the server's thread: must not wait for anything.
using HttpHandler = std::function<void(const HttpRequest& request, std::shared_ptr<Exchange> exchange)>;
/// The answer to what isn't HTTP or breaks a limit, which no handler sees.
using HttpFault = std::function<HttpResponse(int status, const std::string& message)>;

struct HttpLimits {
  std::int64_t connections = 4096;           // more are closed as they come
  std::uint64_t head = 16 << 10;             // bytes
  std::uint64_t body = 16 << 20;             // bytes
  std::uint64_t bodies = 128 << 20;          // bytes of all that are being read
  std::uint64_t unread = 4 << 20;            // bytes of an answer that wait for its reader
  std::chrono::milliseconds idle{60000};     // between two requests of a connection
  std::chrono::milliseconds reading{15000};  // for a whole request to come
  std::chrono::milliseconds writing{30000};  // for the reader to take some of the answer
};

/// Exchanges must not outlive it.
class HttpServer {
 public:
  using Headers = std::vector<std::pair<std::string, std::string>>;
  /// Listens. Port 0: any that is free. Fails, naming the address, where that isn't possible.
  /// Every answer has `headers`.
  HttpServer(const std::string& address, int port, const HttpLimits& limits, Headers headers,
             HttpHandler handler, HttpFault fault);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  [[nodiscard]] int port() const;
  /// Open connections.
  [[nodiscard]] std::int64_t connections() const;
  /// Those of them that wait for an answer, or read one.
  [[nodiscard]] std::int64_t answering() const;
  /// Serves until `stop`; calls `tick` every tenth of a second, in this thread.
  void run(const std::function<void()>& tick);
  /// Takes no new connections and no new requests, from `tick`.
  void drain();
  /// Ends `run`, and with it all connections, from `tick`.
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ecp::serve
