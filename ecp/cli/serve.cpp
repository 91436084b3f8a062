// ecp serve: a checkpoint behind HTTP, as OpenAI's clients speak it.
#include "ecp/serve/http.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "ecp/base/error.h"
#include "ecp/base/interrupt.h"
#include "ecp/base/system.h"
#include "ecp/cli/arguments.h"
#include "ecp/cli/commands.h"
#include "ecp/runtime/model.h"
#include "ecp/runtime/scheduler.h"
#include "ecp/runtime/stream.h"
#include "ecp/serve/api.h"

namespace ecp::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string checkpoint, host = "127.0.0.1";
  int port = 8080, threads = 0;
  std::int64_t deadline = 600, grace = 30, body = 16 << 20, bodies = 128 << 20;
  SchedulerOptions scheduler;
  serve::ApiOptions api;
};

/// A connection is a file descriptor, of which a process may have few at first.
void raise_descriptors() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

class Serving {
 public:
  Serving(const Options& options, const std::shared_ptr<const Model>& model) : options_(options) {
    serve::HttpLimits limits;
    limits.body = static_cast<std::uint64_t>(options.body);
    limits.bodies = static_cast<std::uint64_t>(options.bodies);
    server_ = std::make_unique<serve::HttpServer>(
        options.host, options.port, limits, serve::Api::headers(options.api),
        [this](const serve::HttpRequest& request, const std::shared_ptr<serve::Exchange>& exchange) {
          api_->handle(request, exchange);
        },
        [this](int status, const std::string& message) { return api_->fault(status, message); });
    scheduler_ = std::make_unique<Scheduler>(model, options.scheduler);
    api_ = std::make_unique<serve::Api>(*scheduler_, options.api);
  }

  [[nodiscard]] int port() const { return server_->port(); }

  void run() {
    server_->run([this] { tick(); });
  }

 private:
  void tick() {
    api_->set_connections(server_->connections());
    if (stop_requested() == 0) return;
    if (!stopping_) {
      stopping_ = true;
      until_ = Clock::now() + std::chrono::seconds(options_.grace);
      scheduler_->stop();
      api_->drain();
      server_->drain();
      fmt::print(stderr, "ecp: stopping; texts in work may take {} s more (Ctrl-C again ends at once)\n",
                 options_.grace);
    }
    const bool done = scheduler_->idle() && server_->answering() == 0;
    if (done || Clock::now() >= until_) server_->stop();
  }

  // The scheduler's texts hold exchanges of the server and speak to the API: it goes first.
  const Options& options_;
  std::unique_ptr<serve::HttpServer> server_;
  std::unique_ptr<serve::Api> api_;
  std::unique_ptr<Scheduler> scheduler_;
  bool stopping_ = false;
  Clock::time_point until_;
};

std::string name_of(const Path& checkpoint) {
  const Path clean = checkpoint.lexically_normal();
  const Path name = clean.has_filename() ? clean.filename() : clean.parent_path().filename();
  return name.empty() || name == "." ? "model" : name.string();
}

/// What is wrong with an origin as browsers send it (RFC 6454): a scheme, a host and a port at most.
std::string wrong_origin(const std::string& text) {
  const auto host = text.find("://");
  const bool whole = host != std::string::npos && host > 0 && host + 3 < text.size() &&
                     text.find_first_of("/ ,*", host + 3) == std::string::npos;
  if (text == "*" || whole) return "";
  return fmt::format("expected * or an origin such as http://localhost:3000, without a path, got '{}'", text);
}

void run(Options options) {
  require(options.bodies >= options.body, "--max-bodies: expected at least --max-body, {}, got {}",
          options.body, options.bodies);
  raise_descriptors();
  const StopRequests guard;
  const auto model = Model::load(options.checkpoint, options.threads);
  require(model->tokenizer() != nullptr, "'{}' has no tokenizer: expected a model of text",
          options.checkpoint);
  const ModelConfig& config = model->config();
  if (options.api.model_name.empty()) options.api.model_name = name_of(options.checkpoint);
  options.api.deadline = std::chrono::seconds(options.deadline);
  options.api.limits.texts = options.scheduler.slots;
  const bool endless = runtime::StreamLayout(config).frame() > 0;
  if (!endless) options.api.limits.context = config.sequence;

  Serving serving(options, model);
  const std::string host =
      options.host.find(':') != std::string::npos ? "[" + options.host + "]" : options.host;
  fmt::print("serving {} on http://{}:{}\n", options.api.model_name, host, serving.port());
  if (!endless) {
    fmt::print("architecture {}: prompt and text can have {} tokens together, as in training\n",
               config.architecture, config.sequence);
  } else if (config.holds_positions()) {
    fmt::print(
        "preset {}: beyond {} tokens positions are held at the last ones trained, and the text may suffer\n",
        config.preset, config.sequence);
  }
  if (options.host != "127.0.0.1" && options.host != "::1" && options.api.api_key.empty()) {
    fmt::print(stderr,
               "ecp: warning: everybody who reaches {} may use this server; --api-key asks for a key\n",
               options.host);
  }
  std::fflush(stdout);
  serving.run();
}

}  // namespace

void add_serve(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("serve", "Serve a checkpoint over HTTP, as OpenAI's clients speak it");
  command->add_option("CHECKPOINT", options->checkpoint, "Checkpoint or run folder")->required();
  command->add_option("--host", options->host, "IP address to listen on")->capture_default_str();
  command->add_option("--port", options->port, "Port; 0: any that is free, which is told")
      ->check(whole_number(0, 65535))
      ->type_name("N")
      ->capture_default_str();
  command->add_option("--model-name", options->api.model_name,
                      "What clients call it; default the folder's name");
  const CLI::Option* key =
      command
          ->add_option("--api-key", options->api.api_key,
                       "Answer only who sends this key; better in the environment, which others don't see")
          ->envname("ECP_API_KEY");
  command
      ->add_option("--cors", options->api.cors_origin,
                   "Let pages of this origin ask, such as http://localhost:3000, or *: all")
      ->check(CLI::Validator(wrong_origin, "ORIGIN"));
  const auto number = [&](const char* name, std::int64_t& value, std::int64_t least, std::int64_t most,
                          const char* help) {
    command->add_option(name, value, help)
        ->check(whole_number(least, most))
        ->type_name("N")
        ->capture_default_str();
  };
  number("--slots", options->scheduler.slots, 1, 4096, "Texts in work at once");
  number("--queue", options->scheduler.queue, 1, 65536, "Requests that may wait; more are answered with 429");
  number("--max-tokens", options->api.limits.max_tokens, 1, std::int64_t{1} << 40, "Most tokens of a text");
  number("--max-prompt", options->api.limits.prompt_tokens, 1, std::int64_t{1} << 40,
         "Most tokens of a request's prompts");
  number("--max-body", options->body, 1024, std::int64_t{1} << 32, "Most bytes of a request");
  number("--max-bodies", options->bodies, 1024, std::int64_t{1} << 40,
         "Most bytes of all requests that are being read; more are answered with 503");
  number("--deadline", options->deadline, 1, 1 << 30, "Seconds that a request may take");
  number("--grace", options->grace, 0, 1 << 30, "Seconds for texts in work once the server is to stop");
  command->add_option("--threads", options->threads, "Threads that compute; 0: all CPUs")
      ->check(whole_number(0, most_threads))
      ->type_name("N")
      ->capture_default_str();
  command->footer(
      "In a browser it is a page on which the model writes. For programs:\n"
      "POST /v1/completions and /v1/chat/completions, GET /v1/models, POST /tokenize and /detokenize,\n"
      "GET /health and /metrics (Prometheus). SIGTERM and Ctrl-C let texts in work end.\n\n"
      "Examples:\n"
      "  ecp serve runs/austen\n"
      "  ECP_API_KEY=secret ecp serve runs/austen --host 0.0.0.0 --port 80\n"
      "  curl http://127.0.0.1:8080/v1/completions -d '{\"prompt\": \"It is a truth\", \"stream\": true}'");
  command->callback([options, key] {
    // Who gives a key wants one to be asked for.
    require(!options->api.api_key.empty() || (key->count() == 0 && std::getenv("ECP_API_KEY") == nullptr),
            "--api-key (or ECP_API_KEY): expected a key, got an empty one");
    run(*options);
  });
}

}  // namespace ecp::cli
