// What a session is besides its model and its caches, and how that is written in a session's file
// (docs/formats.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ecp/runtime/sampling.h"

namespace ecp::runtime {

/// Where one stream's generation stands.
struct GenerationState {
  Sampling sampling;
  std::vector<Token> history;                      // the last tokens
  std::unordered_map<Token, std::int64_t> counts;  // of tokens since the prompt, if they are penalised
  std::uint64_t generated = 0;                     // tokens drawn, in all
  std::int64_t since_prompt = 0;
  Finish finish = Finish::none;
  std::string character;  // the beginning of one, less than 4 bytes
  std::string held;       // text that may begin a stop string
  bool stopped = false;   // at a stop string
};

struct SessionState {
  std::string model;             // the hash of its weights and configuration
  std::string tokenizer;         // its hash; empty where there is none
  std::int64_t rows = 0;         // that the model has seen
  std::int64_t written = 0;      // the most there were before some were taken back
  std::optional<Token> pending;  // drawn, not yet seen
  std::vector<float> logits;     // of the last row; empty if they were used
  GenerationState generation;
};

/// All but `logits` and `generation.history`, which are tensors.
std::string to_json(const SessionState& state);
/// Strict; `name` stands for the file in messages.
SessionState parse_session_state(std::string_view text, std::string_view name);

}  // namespace ecp::runtime
