// How tokens are chosen, and what is told of each.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "ecp/text/tokenizer.h"

namespace ecp {

/// Most alternatives that can be asked for with a token.
constexpr std::int64_t most_logprobs = 100;

/// How a session chooses tokens, and when it ends.
struct Sampling {
  float temperature = 0.8f;              // 0: always the most probable token
  std::int64_t top_k = 0;                // 0: off
  float top_p = 1.0f;                    // 1: off
  float min_p = 0.0f;                    // 0: off
  float repetition_penalty = 1.0f;       // 1: off; over the last `repetition_window` tokens
  std::int64_t repetition_window = 256;  // tokens
  float presence_penalty = 0.0f;         // taken off the logits of tokens generated since the prompt
  float frequency_penalty = 0.0f;        // the same for each time that they were
  std::vector<std::pair<Token, float>> logit_bias = {};  // added to these tokens' logits
  std::uint64_t seed = 1;                                // the same seed gives the same tokens
  std::vector<std::string> stop = {};                    // generation ends before the first of these strings
  std::int64_t max_tokens = 256;                         // −1: no end
  bool ignore_end_of_text = false;                       // generate on past the end of a document
  std::string document_break = "\n\n";  // what `next` gives for an end of text that it goes on past
  std::int64_t logprobs = -1;  // 0 or more: tell each token's log-probability and the most probable ones'

  /// Fails on values outside their ranges (temperature < 0 or not finite, top_p outside (0, 1], ...).
  void validate() const;
};

/// A token and how probable it was.
struct TokenProbability {
  Token token = 0;    // its id
  float logprob = 0;  // natural logarithm
};

/// Why a text is over.
enum class Finish : std::uint8_t { none, stop, length };  // stop: its end, or a stop string

/// A generated token, or one of a prompt that was scored.
struct Generated {
  Token token = 0;   // its id
  std::string text;  // what is certain with it: whole characters, nothing of a stop string; may be empty
  Finish finish = Finish::none;  // other than none at the last token
  float logprob = 0;             // by the model alone, before temperature, penalties and bias; if asked for
  std::vector<TokenProbability> top = {};  // the most probable ones, those first; if asked for
};

}  // namespace ecp
