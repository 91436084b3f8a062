#include "ecp/serve/completion_request.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "ecp/text/utf8.h"

namespace ecp::serve {
namespace {

using nlohmann::json;

Token token_of(const json& value, const Tokenizer& tokenizer) {
  if (!value.is_number_integer() || value < 0 || value >= tokenizer.vocab_size()) {
    refuse("prompt", "expected tokens from 0 to {}, got {}", tokenizer.vocab_size() - 1, kind_of(value));
  }
  return value.get<Token>();
}

std::vector<Token> tokens_of(const json& value, const Tokenizer& tokenizer) {
  std::vector<Token> tokens;
  if (value.is_string()) {
    tokenizer.encode(value.get_ref<const std::string&>(), tokens);
  } else if (value.is_array()) {
    for (const json& token : value) tokens.push_back(token_of(token, tokenizer));
  } else {
    refuse("prompt", "expected text or tokens, got {}", kind_of(value));
  }
  if (tokens.empty()) {
    // A document's beginning, as where text begins without a prompt.
    const auto end = tokenizer.end_of_text();
    end ? tokens.push_back(*end) : tokenizer.encode("\n", tokens);
    if (tokens.empty()) refuse("prompt", "expected some text");
  }
  return tokens;
}

/// Text, tokens, or a list of either.
std::vector<std::vector<Token>> prompts_of(Fields& fields, const Tokenizer& tokenizer) {
  const json* value = fields.find("prompt");
  const json nothing = "";
  if (value == nullptr) value = &nothing;
  std::vector<std::vector<Token>> prompts;
  const bool list = value->is_array() && !value->empty() && !value->front().is_number();
  if (list) {
    for (const json& one : *value) prompts.push_back(tokens_of(one, tokenizer));
  } else {
    prompts.push_back(tokens_of(*value, tokenizer));
  }
  return prompts;
}

std::string content_of(const json& message) {
  const auto found = message.find("content");
  if (found == message.end() || found->is_null())
    refuse("messages", "expected a message's content, got none");
  if (found->is_string()) return found->get<std::string>();
  std::string text;  // or parts, of text alone
  if (!found->is_array()) refuse("messages", "expected content as text, got {}", kind_of(*found));
  for (const json& part : *found) {
    const bool is_text = part.is_object() && part.value("type", json()) == "text" && part.contains("text") &&
                         part["text"].is_string();
    if (!is_text) refuse("messages", "expected parts of type text, got {}", kind_of(part));
    text += part["text"].get_ref<const std::string&>();
  }
  return text;
}

std::vector<ChatMessage> messages_of(Fields& fields) {
  const json* value = fields.find("messages");
  if (value == nullptr || !value->is_array() || value->empty()) {
    refuse("messages", "expected at least one message, got {}", value == nullptr ? "none" : kind_of(*value));
  }
  std::vector<ChatMessage> messages;
  for (const json& message : *value) {
    if (!message.is_object() || !message.contains("role") || !message["role"].is_string()) {
      refuse("messages", "expected objects with a role, got {}", kind_of(message));
    }
    const auto role = message["role"].get<std::string>();
    if (role != "system" && role != "developer" && role != "user" && role != "assistant") {
      refuse("messages", "expected the role system, developer, user or assistant, got '{}'", role);
    }
    messages.push_back({role, content_of(message)});
    Fields inside(message);
    inside.pass_over({"role", "content", "name", "refusal"});
    inside.require_known();
  }
  return messages;
}

std::vector<std::string> stops_of(Fields& fields) {
  constexpr std::size_t most = 16, longest = 1024;
  const json* value = fields.find("stop");
  std::vector<std::string> stops;
  if (value == nullptr) return stops;
  const json list = value->is_string() ? json::array({*value}) : *value;
  if (!list.is_array()) refuse("stop", "expected a string or a list of them, got {}", kind_of(*value));
  if (list.size() > most) refuse("stop", "expected at most {} strings, got {}", most, list.size());
  for (const json& one : list) {
    if (!one.is_string()) refuse("stop", "expected strings, got {}", kind_of(one));
    stops.push_back(one.get<std::string>());
    if (stops.back().empty() || stops.back().size() > longest) {
      refuse("stop", "expected strings of 1 to {} bytes, got {}", longest, stops.back().size());
    }
  }
  return stops;
}

std::vector<std::pair<Token, float>> biases_of(Fields& fields, const Tokenizer& tokenizer) {
  const json* value = fields.find("logit_bias");
  std::vector<std::pair<Token, float>> biases;
  if (value == nullptr) return biases;
  if (!value->is_object()) refuse("logit_bias", "expected an object, got {}", kind_of(*value));
  for (const auto& [name, bias] : value->items()) {
    std::int64_t token = -1;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), token);
    if (error != std::errc() || end != name.data() + name.size() || token < 0 ||
        token >= tokenizer.vocab_size()) {
      refuse("logit_bias", "expected tokens from 0 to {}, got '{}'", tokenizer.vocab_size() - 1, name);
    }
    if (!bias.is_number() || !(std::abs(bias.get<double>()) <= 100)) {
      refuse("logit_bias", "expected -100 to 100 for token {}, got {}", name, kind_of(bias));
    }
    biases.emplace_back(static_cast<Token>(token), bias.get<float>());
  }
  return biases;
}

/// completions: how many alternatives; chat: whether, and how many.
std::int64_t logprobs_of(Fields& fields, bool chat) {
  if (!chat) return fields.whole("logprobs", -1, 0, most_logprobs);
  const bool wanted = fields.truth("logprobs", false);
  const std::int64_t top = fields.whole("top_logprobs", 0, 0, most_logprobs);
  if (top > 0 && !wanted) refuse("top_logprobs", "expected logprobs to be true with it");
  return wanted ? top : -1;
}

void read_sampling(Fields& fields, const Tokenizer& tokenizer, const CompletionLimits& limits,
                   CompletionRequest& request) {
  Sampling& sampling = request.sampling;
  const std::int64_t usual = std::min<std::int64_t>(request.chat ? 512 : 16, limits.max_tokens);
  sampling.max_tokens = fields.whole("max_tokens", usual, 0, limits.max_tokens);
  if (request.chat) {  // its newer name
    sampling.max_tokens = fields.whole("max_completion_tokens", sampling.max_tokens, 0, limits.max_tokens);
  }
  sampling.temperature = static_cast<float>(fields.number("temperature", 1, 0, 100));
  sampling.top_p = static_cast<float>(fields.number("top_p", 1, 0, 1));
  sampling.top_k = fields.whole("top_k", 0, 0, INT32_MAX);
  if (sampling.top_p == 0) {  // the most probable token alone
    sampling.top_p = 1;
    sampling.top_k = 1;
  }
  sampling.min_p = static_cast<float>(fields.number("min_p", 0, 0, 1));
  sampling.presence_penalty = static_cast<float>(fields.number("presence_penalty", 0, -2, 2));
  sampling.frequency_penalty = static_cast<float>(fields.number("frequency_penalty", 0, -2, 2));
  sampling.repetition_penalty = static_cast<float>(fields.number("repetition_penalty", 1, 0.01, 100));
  sampling.ignore_end_of_text = fields.truth("ignore_eos", false);
  sampling.logit_bias = biases_of(fields, tokenizer);
  sampling.stop = stops_of(fields);
  sampling.logprobs = logprobs_of(fields, request.chat);
  request.has_seed = fields.find("seed") != nullptr;
  sampling.seed = static_cast<std::uint64_t>(fields.whole("seed", 0, INT64_MIN, INT64_MAX));
}

void require_sizes(const CompletionRequest& request, const CompletionLimits& limits) {
  const auto texts = static_cast<std::int64_t>(request.prompts.size()) * request.choices;
  if (texts > limits.texts) {
    refuse(request.chat ? "n" : "prompt", "expected at most {} texts, prompts times n, got {}", limits.texts,
           texts);
  }
  std::int64_t all = 0;
  for (const auto& prompt : request.prompts) {
    const auto tokens = static_cast<std::int64_t>(prompt.size());
    all += tokens;
    const std::int64_t whole = tokens + request.sampling.max_tokens;
    const char* field = request.chat ? "messages" : "prompt";
    if (limits.context > 0 && whole > limits.context) {
      throw BadRequest(400, "context_length_exceeded", field,
                       fmt::format("{}: this model's text can have {} tokens; {} of the prompt and {} of "
                                   "max_tokens are {}",
                                   field, limits.context, tokens, request.sampling.max_tokens, whole));
    }
    if (all > limits.prompt_tokens) {
      throw BadRequest(400, "context_length_exceeded", field,
                       fmt::format("{}: expected at most {} tokens, got {}{}", field, limits.prompt_tokens,
                                   all, request.prompts.size() > 1 ? " or more" : ""));
    }
  }
}

}  // namespace

std::string chat_text(const std::vector<ChatMessage>& messages) {
  std::string text;
  for (const ChatMessage& message : messages) {
    std::string role = message.role == "developer" ? "system" : message.role;
    role[0] = static_cast<char>(role[0] - 'a' + 'A');
    text += role + ": " + message.content + "\n\n";
  }
  return text + "Assistant:";
}

CompletionRequest parse_completion(std::string_view body, bool chat, const Tokenizer& tokenizer,
                                   const CompletionLimits& limits) {
  const json object = parse_body(body);
  Fields fields(object);
  CompletionRequest request;
  request.chat = chat;
  request.model = fields.text("model");
  if (chat) {
    std::vector<Token> tokens;
    tokenizer.encode(chat_text(messages_of(fields)), tokens);
    request.prompts.push_back(std::move(tokens));
  } else {
    request.prompts = prompts_of(fields, tokenizer);
    request.echo = fields.truth("echo", false);
    const std::int64_t n = fields.whole("n", 1, 1, limits.texts);
    if (fields.whole("best_of", n, 1, INT32_MAX) != n) refuse("best_of", "expected as many as n, {}", n);
    if (!fields.text("suffix").empty()) refuse("suffix", "these models write on, they don't fill in");
  }
  request.choices = fields.whole("n", 1, 1, limits.texts);
  read_sampling(fields, tokenizer, limits, request);
  if (chat) request.sampling.stop.emplace_back(chat_stop);
  request.stream = fields.truth("stream", false);
  request.token_ids = fields.truth("return_token_ids", false);
  if (const json* options = fields.find("stream_options")) {
    if (!options->is_object()) refuse("stream_options", "expected an object, got {}", kind_of(*options));
    Fields inside(*options);
    request.include_usage = inside.truth("include_usage", false);
    inside.pass_over({"include_obfuscation"});
    inside.require_known();
  }
  fields.pass_over({"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"});
  fields.require_known();
  require_sizes(request, limits);
  return request;
}

}  // namespace ecp::serve
