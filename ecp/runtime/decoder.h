// The forward pass over cached keys and values: chunks of rows of one stream, or a row of each of many.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ecp/base/parallel.h"
#include "ecp/runtime/logit_source.h"
#include "ecp/runtime/stream.h"
#include "ecp/runtime/weights.h"
#include "ecp/text/tokenizer.h"

namespace ecp::runtime {

/// What computes: it belongs to no stream, and works for one caller at a time.
class Decoder {
 public:
  /// All must outlive the decoder.
  Decoder(const Weights& weights, const StreamLayout& layout, ThreadPool& pool);

  /// Appends `tokens` to the stream. Fills `logits` [rows, V]: those of all tokens or of the last one. Fails
  /// on an id that is not in the vocabulary, before anything is appended.
  void forward(StreamCache& stream, std::span<const Token> tokens, LogitSource::Rows wanted,
               std::vector<float>& logits);
  /// Appends tokens[i] to streams[i], for all i at once: the weights are read once. Fills `logits` [streams,
  /// V] with the bits that `forward` gives for each alone. A stream may stand there once only.
  void step(std::span<StreamCache* const> streams, std::span<const Token> tokens, std::vector<float>& logits);

 private:
  /// Rows [first, first + count) of those in work, which are the next ones of `stream`.
  struct Run {
    StreamCache* stream;
    std::int64_t first, count;
  };

  void require_known(std::span<const Token> tokens) const;
  void layers(std::span<const Token> tokens);
  void attention_block(std::size_t layer);
  void project(const LayerWeights& weights);
  void rotate(const LayerWeights& weights, bool rotates);
  void attend_group(const Run& run, const HeadGroup& group, KeyValueCache& cache, bool rotates);
  void attend_piece(const Run& run, const HeadGroup& group, const KeyValueCache& cache, const Piece& piece,
                    bool rotates);
  void turn_values(const Run& run, const HeadGroup& group, const Piece& piece);
  void ffn_block(const LayerWeights& weights);
  void normalize(const NormWeights& norm, std::int64_t first, std::int64_t rows, float* out);
  void linear(const Linear& linear, const float* x, std::int64_t x_stride, std::int64_t rows, float* y,
              std::int64_t y_stride, bool accumulate);

  const Weights& weights_;
  const ModelConfig& config_;
  ThreadPool& pool_;
  const StreamLayout& layout_;

  // The rows in work.
  std::vector<Run> runs_;
  std::int64_t count_ = 0;
  bool one_each_ = false;          // of each run a single row
  FloatBuffer x_, h_;              // [count, d]: residual stream, normalised rows
  FloatBuffer qkv_, far_q_;        // [count, d + 2 H_kv d_h]; far_q_: queries for the frame before
  FloatBuffer mixed_, far_mixed_;  // [count, d]: attention's results, by frame where values are rotated
  FloatBuffer inner_;              // [count, f or 2 f]
  // Rotations, a table per position (kernels/rope.h).
  std::vector<double> frequencies_;
  FloatBuffer row_tables_;   // of the rows' slots
  FloatBuffer frame_table_;  // of F
};

}  // namespace ecp::runtime
