#include "ecp/serve/api.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <ctime>
#include <nlohmann/json.hpp>
#include <random>
#include <vector>

#include "ecp/base/suggest.h"
#include "ecp/serve/completion_answer.h"
#include "ecp/serve/model_description.h"
#include "ecp/serve/page.h"
#include "ecp/text/utf8.h"

namespace ecp::serve {
namespace {

using json = nlohmann::ordered_json;

struct Route {
  const char* method;
  const char* path;
};

constexpr std::array routes{
    Route{"POST", "/v1/completions"},
    Route{"POST", "/v1/chat/completions"},
    Route{"GET", "/v1/models"},
    Route{"POST", "/tokenize"},
    Route{"POST", "/detokenize"},
    Route{"GET", "/tokenizer_info"},
    Route{"GET", "/health"},
    Route{"GET", "/metrics"},
    Route{"GET", "/"},
};

HttpResponse json_response(const json& value) {
  HttpResponse response;
  response.body = value.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  return response;
}

HttpResponse refusal(const BadRequest& error) {
  return error_response(error.status(), error.what(), error.code(), error.field());
}

HttpResponse busy(int status, const std::string& message) {
  HttpResponse response = error_response(status, message, status == 429 ? "queue_full" : "stopping");
  response.headers.emplace_back("Retry-After", "1");
  return response;
}

/// Equal in a time that doesn't tell where they differ.
bool same_secret(std::string_view a, std::string_view b) {
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < b.size(); ++i) {
    difference |=
        static_cast<unsigned char>(a.empty() ? 0 : a[i % a.size()]) ^ static_cast<unsigned char>(b[i]);
  }
  return difference == 0;
}

/// The text to be tokenized: "text", or as vLLM's clients have it "prompt", which may come with the wish for
/// no special tokens: there are none.
std::string text_of(std::string_view body) {
  const nlohmann::json object = parse_body(body);
  Fields fields(object);
  const char* name = fields.find("prompt") != nullptr ? "prompt" : "text";
  if (fields.find(name) == nullptr) refuse(name, "expected a string, got none");
  std::string text = fields.text(name);
  if (fields.truth("add_special_tokens", false)) refuse("add_special_tokens", "expected false");
  fields.require_known();
  return text;
}

}  // namespace

Api::Api(Scheduler& scheduler, ApiOptions options)
    : scheduler_(scheduler), options_(std::move(options)), created_(std::time(nullptr)) {}

HttpResponse Api::fault(int status, const std::string& message) {
  metrics_.request("", status);
  return error_response(status, message);
}

bool Api::allowed(const HttpRequest& request) const {
  // The page itself is no secret: it asks for the key.
  const bool open = request.path == "/health" || request.path == "/" || request.path.starts_with(page_folder);
  if (options_.api_key.empty() || open) return true;
  constexpr std::string_view scheme = "bearer ";  // in any case (RFC 9110, 11.1)
  const std::string_view given = request.authorization;
  const auto same = [](char a, char b) { return a == std::tolower(static_cast<unsigned char>(b)); };
  return given.size() >= scheme.size() && std::equal(scheme.begin(), scheme.end(), given.begin(), same) &&
         same_secret(given.substr(scheme.size()), options_.api_key);
}

HttpServer::Headers Api::headers(const ApiOptions& options) {
  if (options.cors_origin.empty()) return {};
  return {{"Access-Control-Allow-Origin", options.cors_origin},
          {"Access-Control-Allow-Headers", "Authorization, Content-Type"},
          {"Access-Control-Allow-Methods", "GET, POST"}};
}

void Api::respond(const std::string& path, Exchange& exchange, HttpResponse response) {
  metrics_.request(path, response.status);
  exchange.respond(std::move(response));
}

bool Api::foreign(const HttpRequest& request) const {
  if (request.origin.empty() || options_.cors_origin == "*" || request.origin == options_.cors_origin) {
    return false;
  }
  const auto host = request.origin.find("://");
  return host == std::string::npos || std::string_view(request.origin).substr(host + 3) != request.host;
}

void Api::handle(const HttpRequest& request, const std::shared_ptr<Exchange>& exchange) {
  if (foreign(request)) {
    return respond(
        "", *exchange,
        error_response(403, "pages of other origins can't use this server (see --cors)", "foreign_origin"));
  }
  if (request.method == "OPTIONS" && !options_.cors_origin.empty()) {
    return respond("", *exchange, {204, "text/plain", ""});
  }
  if (!allowed(request)) {
    HttpResponse response = error_response(
        401, "expected the server's API key as 'Authorization: Bearer KEY'", "invalid_api_key");
    response.headers.emplace_back("WWW-Authenticate", "Bearer");
    return respond("", *exchange, std::move(response));
  }
  const bool chat = request.path == "/v1/chat/completions";
  if ((chat || request.path == "/v1/completions") && request.method == "POST") {
    return complete(request, chat, exchange);
  }
  if (auto file = request.method == "GET" ? page_file(request.path) : std::nullopt) {
    return respond("/", *exchange, *std::move(file));
  }
  HttpResponse response;
  try {
    response = answer(request);
  } catch (const BadRequest& error) {
    response = refusal(error);
  } catch (const std::exception& error) {
    response = error_response(400, error.what());
  }
  // Metrics know paths of ours only: everybody may ask for others.
  const std::string path = request.path == model_path() ? "/v1/models" : request.path;
  const bool known =
      std::any_of(routes.begin(), routes.end(), [&](const Route& route) { return path == route.path; });
  respond(known ? path : "", *exchange, std::move(response));
}

HttpResponse Api::answer(const HttpRequest& request) {
  const std::string& path = request.path;
  if ((path == "/v1/models" || path.starts_with("/v1/models/")) && request.method == "GET")
    return models(path);
  std::vector<std::string> names;
  for (const Route& route : routes) {
    names.emplace_back(route.path);
    if (path != route.path || request.method == route.method) continue;
    HttpResponse response =
        error_response(405, fmt::format("{}: expected {}, got {}", path, route.method, request.method),
                       "method_not_allowed");
    response.headers.emplace_back("Allow", route.method);
    return response;
  }
  if (path == "/health") {
    HttpResponse response = json_response({{"status", draining_ ? "stopping" : "ok"}});
    response.status = draining_ ? 503 : 200;
    return response;
  }
  if (path == "/metrics") {
    return {200, "text/plain; version=0.0.4; charset=utf-8", metrics_.text(scheduler_.state(), connections_)};
  }
  if (path == "/tokenize") return tokenize(request.body);
  if (path == "/detokenize") return detokenize(request.body);
  if (path == "/tokenizer_info") return tokenizer_info();
  return error_response(404, fmt::format("no path '{}'{}", path, did_you_mean(path, names)), "unknown_path");
}

std::string Api::model_path() const { return "/v1/models/" + options_.model_name; }

HttpResponse Api::models(const std::string& path) const {
  const json model =
      model_description(scheduler_.model().config(), options_.model_name, created_, options_.limits);
  if (path == "/v1/models") return json_response({{"object", "list"}, {"data", json::array({model})}});
  if (path == model_path()) return json_response(model);
  return error_response(404,
                        fmt::format("no model '{}' here, only '{}'",
                                    path.substr(std::min<std::size_t>(path.size(), 11)), options_.model_name),
                        "model_not_found", "model");
}

HttpResponse Api::tokenize(std::string_view body) const {
  const std::string text = text_of(body);
  const Tokenizer& tokenizer = *scheduler_.model().tokenizer();
  const std::vector<Token> tokens = tokenizer.encode(text);
  json pieces = json::array();
  for (const Token token : tokens) pieces.push_back(token_text(tokenizer.bytes_of(token)));
  return json_response({{"tokens", tokens}, {"pieces", pieces}});
}

HttpResponse Api::detokenize(std::string_view body) const {
  const Tokenizer& tokenizer = *scheduler_.model().tokenizer();
  std::string text;
  const nlohmann::json object = parse_body(body);
  Fields fields(object);
  const nlohmann::json* tokens = fields.find("tokens");
  if (tokens == nullptr || !tokens->is_array()) refuse("tokens", "expected a list of tokens");
  fields.require_known();
  for (const nlohmann::json& token : *tokens) {
    if (!token.is_number_integer() || token < 0 || token >= tokenizer.vocab_size()) {
      refuse("tokens", "expected tokens from 0 to {}, got {}", tokenizer.vocab_size() - 1, kind_of(token));
    }
    text += tokenizer.bytes_of(token.get<Token>());
  }
  return json_response({{"text", text}, {"prompt", text}});
}

HttpResponse Api::tokenizer_info() const {
  const Tokenizer& tokenizer = *scheduler_.model().tokenizer();
  json info = {{"kind", tokenizer.kind()},
               {"vocabulary", tokenizer.vocab_size()},
               {"end_of_text", nullptr},
               {"bos_token", nullptr},
               {"eos_token", nullptr}};
  // As vLLM's clients have it, these are texts that encode as the token; an end of text has none.
  if (const auto end = tokenizer.end_of_text()) {
    info["end_of_text"] = *end;
  } else {
    info["bos_token"] = "\n";
  }
  return json_response(info);
}

void Api::complete(const HttpRequest& request, bool chat, const std::shared_ptr<Exchange>& exchange) {
  if (draining_) return respond(request.path, *exchange, busy(503, "the server is stopping"));
  const auto& tokenizer = scheduler_.model().tokenizer();
  CompletionRequest asked;
  try {
    asked = parse_completion(request.body, chat, *tokenizer, options_.limits);
    if (!asked.model.empty() && asked.model != options_.model_name) {
      throw BadRequest(404, "model_not_found", "model",
                       fmt::format("no model '{}' here, only '{}'", asked.model, options_.model_name));
    }
  } catch (const BadRequest& error) {
    return respond(request.path, *exchange, refusal(error));
  } catch (const std::exception& error) {
    return respond(request.path, *exchange, error_response(400, error.what()));
  }
  if (!asked.has_seed) {
    std::random_device device;
    asked.sampling.seed = (std::uint64_t{device()} << 32) | device();
  }
  const std::string id = fmt::format("{}-{:x}-{}", chat ? "chatcmpl" : "cmpl", created_, ++requests_);
  const auto answer = std::make_shared<CompletionAnswer>(asked, tokenizer, id, options_.model_name, exchange,
                                                         metrics_, request.path);
  const auto deadline = std::chrono::steady_clock::now() + options_.deadline;
  auto tickets = std::make_shared<std::vector<std::shared_ptr<Scheduler::Ticket>>>();
  const auto cancel = [tickets] {
    for (const auto& ticket : *tickets) ticket->cancel();
  };
  std::vector<TextRequest> texts;
  std::vector<std::shared_ptr<TextListener>> listeners;
  for (std::size_t i = 0; i < asked.prompts.size(); ++i) {
    texts.push_back({asked.prompts[i], asked.sampling, asked.choices,
                     asked.echo && asked.sampling.logprobs >= 0, deadline});
    texts.back().sampling.seed += i * static_cast<std::uint64_t>(asked.choices);
    listeners.push_back(answer->listener(i));
  }
  try {
    *tickets = scheduler_.submit(std::move(texts), std::move(listeners));
  } catch (const std::exception& error) {
    return respond(request.path, *exchange, error_response(400, error.what()));
  }
  if (tickets->empty()) {
    return respond(request.path, *exchange, busy(429, "too many requests wait already: try again later"));
  }
  exchange->on_gone(cancel);
}

}  // namespace ecp::serve
