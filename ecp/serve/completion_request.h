// What a client of OpenAI's completions and chat completions asks for, from JSON to native types at once.
// Every field is checked; what isn't known or isn't there is refused by name.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ecp/runtime/sampling.h"
#include "ecp/serve/request_fields.h"
#include "ecp/text/tokenizer.h"

namespace ecp::serve {

struct CompletionLimits {
  std::int64_t max_tokens = 65536;       // of one text
  std::int64_t prompt_tokens = 1 << 20;  // of all prompts of a request together
  std::int64_t context = 0;              // prompt and text of a model that can't go beyond it; 0: no such end
  std::int64_t texts = 16;               // prompts × n
};

struct CompletionRequest {
  bool chat = false;
  std::string model;  // as the client calls it; may be empty
  std::vector<std::vector<Token>> prompts;
  Sampling sampling;      // `logprobs` −1 if they aren't asked for
  bool has_seed = false;  // else a seed is to be drawn
  std::int64_t choices = 1;
  bool stream = false, include_usage = false, echo = false;
  bool token_ids = false;  // tell the tokens themselves, of the prompt too
};

/// The body of POST /v1/completions, or of /v1/chat/completions. Throws BadRequest, or Error on text that the
/// tokenizer can't encode.
CompletionRequest parse_completion(std::string_view body, bool chat, const Tokenizer& tokenizer,
                                   const CompletionLimits& limits);

/// The text that stands for a conversation: "User: ...\n\n" for each message, in its role's name, and then
/// "Assistant:". Models of plain text know no other form, and few have seen this one.
struct ChatMessage {
  std::string role, content;
};
std::string chat_text(const std::vector<ChatMessage>& messages);
/// Where an answer in a conversation ends, beside its end of text.
constexpr std::string_view chat_stop = "\n\nUser:";

}  // namespace ecp::serve
