// What tokenizers of all kinds have in common. For sources of this room.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/text/tokenizer.h"

namespace ecp::text {

/// How each tokenizer.json begins that `Tokenizer::save` writes.
inline nlohmann::ordered_json description(const Tokenizer& tokenizer) {
  return {{"format", "ecp-tokenizer"},
          {"version", 1},
          {"kind", tokenizer.kind()},
          {"vocab_size", tokenizer.vocab_size()},
          {"hash", tokenizer.hash()}};
}

/// The token's own, of a list for the whole vocabulary. Fails beyond its end.
inline const std::string& entry_of(const std::vector<std::string>& vocabulary, Token token) {
  require(token < vocabulary.size(), "token {}: expected one below the vocabulary's size, {}", token,
          vocabulary.size());
  return vocabulary[token];
}

}  // namespace ecp::text
