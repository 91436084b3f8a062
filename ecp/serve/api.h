// The server's paths: completions, chat completions, models, tokenize and detokenize, health and metrics.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "ecp/runtime/scheduler.h"
#include "ecp/serve/completion_request.h"
#include "ecp/serve/http.h"
#include "ecp/serve/metrics.h"

namespace ecp::serve {

struct ApiOptions {
  std::string model_name;   // as clients see it
  std::string api_key;      // empty: none is asked for
  std::string cors_origin;  // whose pages in a browser may ask; "*": all, empty: none (`headers`)
  CompletionLimits limits;
  std::chrono::seconds deadline{600};  // for a request, from its arrival to its texts' end
};

/// Thread-safe but for `handle`, which the HTTP server calls. It outlives neither the scheduler's listeners
/// nor the exchanges: destroy it after the scheduler.
class Api {
 public:
  Api(Scheduler& scheduler, ApiOptions options);

  /// What every answer says.
  [[nodiscard]] static HttpServer::Headers headers(const ApiOptions& options);
  void handle(const HttpRequest& request, const std::shared_ptr<Exchange>& exchange);
  /// The answer to what isn't a request.
  HttpResponse fault(int status, const std::string& message);
  /// From now on everything but /health and /metrics is answered with 503.
  void drain() { draining_ = true; }
  /// For /metrics.
  void set_connections(std::int64_t connections) { connections_ = connections; }

 private:
  HttpResponse answer(const HttpRequest& request);
  HttpResponse models(const std::string& path) const;
  std::string model_path() const;
  HttpResponse tokenize(std::string_view body) const;
  HttpResponse detokenize(std::string_view body) const;
  [[nodiscard]] HttpResponse tokenizer_info() const;
  void complete(const HttpRequest& request, bool chat, const std::shared_ptr<Exchange>& exchange);
  [[nodiscard]] bool allowed(const HttpRequest& request) const;
  /// Sent by a page in a browser that this server didn't give and --cors doesn't name.
  [[nodiscard]] bool foreign(const HttpRequest& request) const;
  void respond(const std::string& path, Exchange& exchange, HttpResponse response);

  Scheduler& scheduler_;
  ApiOptions options_;
  Metrics metrics_;
  std::int64_t created_;
  std::uint64_t requests_ = 0;
  std::atomic<bool> draining_{false};
  std::atomic<std::int64_t> connections_{0};
};

}  // namespace ecp::serve
