// What a Hugging Face tokenizer.json with a BPE model says, checked. For sources of this room.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ecp/text/added_tokens.h"
#include "ecp/text/bpe_merges.h"
#include "ecp/text/split_pattern.h"

namespace ecp::text {

/// How text becomes words that merges don't leave.
enum class BpeWords {
  byte_level,  // ByteLevel's alphabet, with or without a pattern
  marks,       // Metaspace: each space begins a word
  whole,       // no words: all text between added tokens is one
};

struct BpeFile {
  std::vector<std::string> tokens;  // of the model, by id
  BpeMerges merges;
  std::optional<Token> unknown;
  bool fuse_unknown = false, byte_fallback = false, ignore_merges = false;
  std::vector<AddedToken>
      added;  // those that the model has as well, and others with ids from tokens.size() on

  bool prepend_mark = false;  // normaliser: "▁" before each text, "▁" for each space
  bool mark_spaces = false;
  BpeWords words = BpeWords::whole;
  std::optional<SplitPattern> pattern;  // byte_level
  bool prefix_space = false;            // byte_level: a space where text doesn't begin with one
  bool metaspace = false;  // marks and whole: spaces are marked here, after added tokens were found
  enum class Prepend { never, first, always } prepend_scheme = Prepend::never;  // metaspace
};

/// Fails with one line that names `name` and the component that isn't supported or the token that is wrong.
BpeFile read_bpe_file(const nlohmann::json& json, const std::string& name);

/// ByteLevel's character for each byte, and the byte of a character below U+0144 (others: −1).
char32_t byte_character(unsigned char byte);
int character_byte(char32_t code);

}  // namespace ecp::text
