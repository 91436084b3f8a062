// Models that say what they are told to: a cycle of tokens, and a tokenizer for it.
#pragma once

#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ecp/base/error.h"
#include "reference_model.h"

namespace ecp {

/// Ids 0 … 255 are bytes, the last one ends a text, the one before it is a whole word.
class TestTokenizer : public Tokenizer {
 public:
  std::string kind() const override { return "test"; }
  std::int64_t vocab_size() const override { return 258; }
  std::optional<Token> end_of_text() const override { return 257; }
  void encode(std::string_view text, std::vector<Token>& ids) const override {
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  }
  std::string_view bytes_of(Token token) const override {
    require(token < 258, "token {}", token);
    if (token == 257) return "";
    if (token == 256) return "stopping";
    return {bytes_.data() + token, 1};
  }
  std::string hash() const override { return "test"; }
  void save(const Path&) const override {}

 private:
  static std::string all_bytes() {
    std::string bytes;
    for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
    return bytes;
  }
  std::string bytes_ = all_bytes();
};

/// A model that repeats a cycle: token t is followed by next[t], surely. One layer that does nothing,
/// embeddings and classifier that know the successor.
inline std::shared_ptr<const Model> cycle_model(const std::vector<Token>& next, std::int64_t vocab,
                                                std::shared_ptr<const Tokenizer> tokenizer,
                                                float certainty = 50) {
  ModelConfig config;
  apply_preset(config);
  config.vocab = vocab;
  config.dim = vocab % 2 == 0 ? vocab : vocab + 1;
  config.layers = 1;
  config.heads = 1;
  config.block = 8;
  config.ffn_dim = 2;
  config.tie_embeddings = false;
  auto weights = random_weights(config, 1);
  for (auto& [name, values] : weights->values) {
    const bool keep = name == "norm.weight";
    std::fill(values.begin(), values.end(), keep ? 1.0f : 0.0f);
  }
  const auto dim = static_cast<std::size_t>(config.dim);
  const auto norm = static_cast<float>(std::sqrt(static_cast<double>(dim)));
  for (std::size_t token = 0; token < next.size(); ++token) {
    weights->values["embedding.weight"][token * dim + token] = 1;
    weights->values["classifier.weight"][next[token] * dim + token] = certainty / norm;
  }
  return Model::create(config, weights->tensors, std::move(tokenizer), 1);
}

/// Follows the bytes of `text` around; the token after its last byte is `last` (default: the first byte
/// again).
inline std::shared_ptr<const Model> saying(const std::string& text,
                                           std::optional<Token> last = std::nullopt) {
  std::vector<Token> next(258, 257);
  const auto byte = [&](std::size_t i) { return static_cast<Token>(static_cast<unsigned char>(text[i])); };
  for (std::size_t i = 0; i + 1 < text.size(); ++i) next[byte(i)] = byte(i + 1);
  next[byte(text.size() - 1)] = last.value_or(byte(0));
  next[257] = byte(0);
  next[256] = byte(0);
  return cycle_model(next, 258, std::make_shared<TestTokenizer>());
}

}  // namespace ecp
