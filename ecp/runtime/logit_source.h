// What gives a session its logits: the decoder with its caches, or a model that computes its window anew.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "ecp/text/tokenizer.h"

namespace ecp::runtime {

class LogitSource {
 public:
  virtual ~LogitSource() = default;

  enum class Rows : std::uint8_t { all, last };
  /// Appends `tokens` to the stream. Fills `logits` [rows, V]: those of all tokens or of the last one. Fails
  /// on an id that is not in the vocabulary, before anything is appended.
  virtual void forward(std::span<const Token> tokens, Rows wanted, std::vector<float>& logits) = 0;

  /// Rows seen so far.
  [[nodiscard]] virtual std::int64_t rows() const = 0;
  [[nodiscard]] virtual std::uint64_t cache_bytes() const = 0;
  /// Another one that goes on from here. Fails where that isn't possible.
  [[nodiscard]] virtual std::unique_ptr<LogitSource> fork() const;
  /// Rows that can be taken back, and doing so.
  [[nodiscard]] virtual std::int64_t most_rewind() const { return 0; }
  virtual void rewind(std::int64_t rows);
  /// Tokens that must be known to go on after that; −1: all.
  [[nodiscard]] virtual std::int64_t history() const { return 0; }
  /// True if values carry positions and the last row has none that was trained.
  [[nodiscard]] virtual bool beyond_trained_length() const { return false; }
};

}  // namespace ecp::runtime
