// The small tokenizers in tests/text/tokenizers, and what PyPI's `tokenizers` makes of some texts with them.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ecp/base/files.h"
#include "ecp/text/tokenizer.h"

namespace ecp::test {

inline Path given_folder() { return Path(ECP_SOURCE_DIR) / "tests/text/tokenizers"; }

inline nlohmann::json given_json(const std::string& file) {
  return nlohmann::json::parse(read_file(given_folder() / file));
}

/// Encodes in the parts that the tokenizer allows, as many as there are.
inline std::vector<Token> encode_in_parts(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<Token> ids;
  bool continues = false;
  std::string waiting;
  for (const char c : text) {
    waiting += c;
    const std::size_t cut = tokenizer.last_cut(waiting);
    if (cut == 0) continue;
    const std::string part = waiting.substr(0, cut);
    continues ? tokenizer.encode_more(part, ids) : tokenizer.encode(part, ids);
    waiting.erase(0, cut);
    continues = true;
  }
  continues ? tokenizer.encode_more(waiting, ids) : tokenizer.encode(waiting, ids);
  return ids;
}

/// The expected ids of every text in expected.json, whole and in parts.
inline void expect_given_ids(const std::string& file, const Tokenizer& tokenizer) {
  const nlohmann::json expected = given_json("expected.json");
  const auto& ids = expected.at("ids").at(file);
  ASSERT_GT(ids.size(), 50u);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto text = expected.at("texts")[i].get<std::string>();
    const auto wanted = ids[i].get<std::vector<Token>>();
    EXPECT_EQ(tokenizer.encode(text), wanted) << file << ": " << text.substr(0, 80);
    EXPECT_EQ(encode_in_parts(tokenizer, text), wanted) << file << " in parts: " << text.substr(0, 80);
  }
}

}  // namespace ecp::test
