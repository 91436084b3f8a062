#include "ecp/serve/completion_answer.h"

#include <fmt/format.h>

#include <ctime>
#include <nlohmann/json.hpp>

#include "ecp/runtime/text_stream.h"
#include "ecp/text/utf8.h"

namespace ecp::serve {
namespace {

using json = nlohmann::ordered_json;

/// What is told of tokens, in OpenAI's two forms.
class Logprobs {
 public:
  Logprobs(const Tokenizer& tokenizer, bool chat) : tokenizer_(tokenizer), chat_(chat) {}

  void add(const Generated& token, bool known, std::int64_t offset) {
    if (chat_) {
      json entry = named(token.token, token.logprob);
      entry["top_logprobs"] = json::array();
      for (const TokenProbability& one : token.top) {
        entry["top_logprobs"].push_back(named(one.token, one.logprob));
      }
      content_.push_back(std::move(entry));
      return;
    }
    tokens_.push_back(token_text(tokenizer_.bytes_of(token.token)));
    values_.push_back(known ? json(token.logprob) : json());
    json top;
    if (known) top = json::object();
    for (const TokenProbability& one : token.top) {
      top[token_text(tokenizer_.bytes_of(one.token))] = one.logprob;
    }
    tops_.push_back(std::move(top));
    offsets_.push_back(offset);
  }

  /// All of it, which is then forgotten.
  json take() {
    if (chat_) return {{"content", std::exchange(content_, json::array())}};
    return {{"tokens", std::exchange(tokens_, json::array())},
            {"token_logprobs", std::exchange(values_, json::array())},
            {"top_logprobs", std::exchange(tops_, json::array())},
            {"text_offset", std::exchange(offsets_, json::array())}};
  }

 private:
  json named(Token token, float logprob) const {
    const std::string_view bytes = tokenizer_.bytes_of(token);
    json values = json::array();
    for (const char byte : bytes) values.push_back(static_cast<unsigned char>(byte));
    return {{"token", token_text(bytes)}, {"logprob", logprob}, {"bytes", std::move(values)}};
  }

  const Tokenizer& tokenizer_;
  bool chat_;
  json content_ = json::array(), tokens_ = json::array(), values_ = json::array(), tops_ = json::array(),
       offsets_ = json::array();
};

json reason(Finish finish) {
  switch (finish) {
    case Finish::stop:
      return "stop";
    case Finish::length:
      return "length";
    case Finish::none:
      break;
  }
  return nullptr;
}

std::int64_t characters(std::string_view text) {
  std::int64_t count = 0;
  for (const char byte : text) count += (byte & 0xc0) != 0x80 ? 1 : 0;
  return count;
}

}  // namespace

HttpResponse error_response(int status, const std::string& message, const std::string& code,
                            const std::string& field) {
  const char* type = status == 429   ? "rate_limit_error"
                     : status == 401 ? "authentication_error"
                     : status >= 500 ? "server_error"
                                     : "invalid_request_error";
  const json error = {{"message", message},
                      {"type", type},
                      {"param", field.empty() ? json() : json(field)},
                      {"code", code.empty() ? json() : json(code)}};
  HttpResponse response;
  response.status = status;
  response.body = json{{"error", error}}.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  return response;
}

std::string token_text(std::string_view bytes) {
  if (is_utf8(bytes)) return std::string(bytes);
  std::string text = "bytes:";
  for (const char byte : bytes) text += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
  return text;
}

struct CompletionAnswer::Text {
  std::string text;  // unless it was sent
  Logprobs logprobs;
  Finish finish = Finish::none;
  bool announced = false;   // that an assistant speaks
  std::int64_t offset = 0;  // characters before the next token
  runtime::Utf8Assembler assembler = {};
  std::vector<Token> tokens = {};  // if they are asked for, unless they were sent
  bool prompt_told = false;        // which tokens the prompt was

  void add(const Generated& token, bool known, std::string_view bytes) {
    logprobs.add(token, known, offset);
    offset += characters(assembler.push(bytes));
  }
};

class CompletionAnswer::Listener : public TextListener {
 public:
  Listener(std::shared_ptr<CompletionAnswer> answer, std::size_t prompt)
      : answer_(std::move(answer)), prompt_(prompt) {}

  void on_prompt(const std::vector<Generated>& tokens) override { answer_->on_prompt(prompt_, tokens); }
  void on_token(std::int64_t choice, const Generated& token) override {
    answer_->on_token(
        prompt_ * static_cast<std::size_t>(answer_->request_.choices) + static_cast<std::size_t>(choice),
        token);
  }
  void on_empty() override { answer_->on_empty(prompt_); }
  void on_abort(Abort why, const std::string& message) override { answer_->on_abort(why, message); }

 private:
  std::shared_ptr<CompletionAnswer> answer_;
  std::size_t prompt_;
};

CompletionAnswer::CompletionAnswer(CompletionRequest request, std::shared_ptr<const Tokenizer> tokenizer,
                                   std::string id, std::string model, std::shared_ptr<Exchange> exchange,
                                   Metrics& metrics, std::string path)
    : request_(std::move(request)),
      tokenizer_(std::move(tokenizer)),
      id_(std::move(id)),
      model_(std::move(model)),
      created_(std::time(nullptr)),
      exchange_(std::move(exchange)),
      metrics_(metrics),
      path_(std::move(path)) {
  missing_ = request_.prompts.size() * static_cast<std::size_t>(request_.choices);
  for (std::size_t i = 0; i < missing_; ++i) {
    std::string text;
    if (request_.echo) {
      runtime::Utf8Assembler assembler;
      text = assembler.push(
          tokenizer_->decode(request_.prompts[i / static_cast<std::size_t>(request_.choices)]));
      text += assembler.finish();
    }
    texts_.push_back({std::move(text), Logprobs(*tokenizer_, request_.chat)});
  }
}

CompletionAnswer::~CompletionAnswer() = default;

std::shared_ptr<TextListener> CompletionAnswer::listener(std::size_t prompt) {
  return std::make_shared<Listener>(shared_from_this(), prompt);
}

json CompletionAnswer::head() const {
  const char* object = !request_.chat    ? "text_completion"
                       : request_.stream ? "chat.completion.chunk"
                                         : "chat.completion";
  return {{"id", id_}, {"object", object}, {"created", created_}, {"model", model_}};
}

json CompletionAnswer::usage() const {
  std::uint64_t prompt = 0;
  for (const auto& tokens : request_.prompts) prompt += tokens.size();
  return {
      {"prompt_tokens", prompt}, {"completion_tokens", generated_}, {"total_tokens", prompt + generated_}};
}

void CompletionAnswer::send_event(const json& event) {
  const std::string piece = "data: " + event.dump() + "\n\n";
  if (begun_) return exchange_->send(piece);
  begun_ = true;
  exchange_->begin({200, "text/event-stream", piece, {{"Cache-Control", "no-store"}}});
}

void CompletionAnswer::send_piece(std::size_t index, Finish finish) {
  Text& text = texts_[index];
  json choice = {{"index", index}};
  std::string piece = std::exchange(text.text, "");
  if (request_.chat) {
    json& delta = choice["delta"] = json::object();
    if (!text.announced) delta["role"] = "assistant";
    if (!piece.empty() || !text.announced) delta["content"] = std::move(piece);
    text.announced = true;
  } else {
    choice["text"] = std::move(piece);
  }
  choice["logprobs"] = request_.sampling.logprobs >= 0 ? text.logprobs.take() : json();
  tell_tokens(index, choice);
  choice["finish_reason"] = reason(finish);
  json event = head();
  event["choices"] = json::array({std::move(choice)});
  if (request_.include_usage) event["usage"] = nullptr;
  send_event(event);
}

void CompletionAnswer::tell_tokens(std::size_t index, json& choice) {
  if (!request_.token_ids) return;
  Text& text = texts_[index];
  if (!std::exchange(text.prompt_told, true)) {
    choice["prompt_token_ids"] = request_.prompts[index / static_cast<std::size_t>(request_.choices)];
  }
  choice["token_ids"] = std::exchange(text.tokens, {});
}

void CompletionAnswer::on_prompt(std::size_t prompt, const std::vector<Generated>& tokens) {
  if (!request_.echo || request_.sampling.logprobs < 0) return;
  for (std::int64_t choice = 0; choice < request_.choices; ++choice) {
    Text& text =
        texts_[prompt * static_cast<std::size_t>(request_.choices) + static_cast<std::size_t>(choice)];
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      text.add(tokens[i], i > 0, tokenizer_->bytes_of(tokens[i].token));
    }
  }
}

void CompletionAnswer::on_token(std::size_t index, const Generated& token) {
  if (over_) return;
  Text& text = texts_[index];
  if (generated_++ == 0) {
    metrics_.first_token(std::chrono::duration<double>(Clock::now() - start_).count());
  }
  if (request_.sampling.logprobs >= 0) text.add(token, true, tokenizer_->bytes_of(token.token));
  if (request_.token_ids) text.tokens.push_back(token.token);
  text.text += token.text;
  const bool ends = token.finish != Finish::none;
  if (request_.stream && (ends || !text.text.empty())) send_piece(index, token.finish);
  if (ends) finish_text(index, token.finish);
}

void CompletionAnswer::on_empty(std::size_t prompt) {
  const auto choices = static_cast<std::size_t>(request_.choices);
  for (std::size_t index = prompt * choices; index < (prompt + 1) * choices && !over_; ++index) {
    if (request_.stream) send_piece(index, Finish::length);
    finish_text(index, Finish::length);
  }
}

void CompletionAnswer::finish_text(std::size_t text, Finish finish) {
  texts_[text].finish = finish;
  if (--missing_ == 0) this->finish();
}

json CompletionAnswer::choice(std::size_t index) {
  Text& text = texts_[index];
  json choice = {{"index", index}};
  if (request_.chat) {
    choice["message"] = {{"role", "assistant"}, {"content", text.text}, {"refusal", nullptr}};
  } else {
    choice["text"] = text.text;
  }
  choice["logprobs"] = request_.sampling.logprobs >= 0 ? text.logprobs.take() : json();
  tell_tokens(index, choice);
  choice["finish_reason"] = reason(text.finish);
  return choice;
}

void CompletionAnswer::finish() {
  json last = head();
  last["choices"] = json::array();
  if (request_.stream) {
    if (request_.include_usage) {
      last["usage"] = usage();
      send_event(last);
    }
    exchange_->send("data: [DONE]\n\n");
    exchange_->end();
  } else {
    for (std::size_t i = 0; i < texts_.size(); ++i) last["choices"].push_back(choice(i));
    last["usage"] = usage();
    HttpResponse response;
    response.body = last.dump() + "\n";
    exchange_->respond(std::move(response));
  }
  over(200);
}

void CompletionAnswer::on_abort(Abort why, const std::string& message) {
  if (over_) return;
  const int status = why == Abort::failure ? 500 : why == Abort::deadline ? 504 : 503;
  const HttpResponse response = error_response(status, message);
  if (begun_) {  // too late for a status: an event says it, and the list has no end
    send_event(json::parse(response.body));
    exchange_->end();
  } else {
    exchange_->respond(response);
  }
  over(status);
}

void CompletionAnswer::over(int status) {
  over_ = true;
  metrics_.completion(std::chrono::duration<double>(Clock::now() - start_).count());
  metrics_.request(path_, status);
}

}  // namespace ecp::serve
