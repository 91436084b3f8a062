// The forward pass of one stream: chunks of rows, or one row at a time, over cached keys and values.
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

class Decoder : public LogitSource {
 public:
  /// Both must outlive the decoder.
  Decoder(const Weights& weights, ThreadPool& pool);

  void forward(std::span<const Token> tokens, Rows wanted, std::vector<float>& logits) override;
  [[nodiscard]] std::int64_t rows() const override { return rows_; }
  [[nodiscard]] std::uint64_t cache_bytes() const override;
  [[nodiscard]] bool beyond_trained_length() const override {
    return rows_ > 0 && layout_.beyond_trained(rows_ - 1);
  }

 private:
  void chunk(std::span<const Token> tokens);
  void attention_block(std::size_t layer);
  void attend(const LayerWeights& weights, KeyValueCache& cache, bool rotates);
  void attend_group(const HeadGroup& group, KeyValueCache& cache, bool rotates);
  void attend_piece(const HeadGroup& group, const KeyValueCache& cache, const Piece& piece, bool rotates);
  void turn_values(const HeadGroup& group, const Piece& piece);
  void ffn_block(const LayerWeights& weights);
  void normalize(const NormWeights& norm, std::int64_t first, std::int64_t rows, float* out);
  void linear(const Linear& linear, const float* x, std::int64_t x_stride, std::int64_t rows, float* y,
              std::int64_t y_stride, bool accumulate);

  const Weights& weights_;
  const ModelConfig& config_;
  ThreadPool& pool_;
  StreamLayout layout_;
  std::vector<KeyValueCache> caches_;
  std::int64_t rows_ = 0;

  // The chunk in work: rows [rows_, rows_ + count_).
  std::int64_t count_ = 0;
  FloatBuffer x_, h_;              // [count, d]: residual stream, normalised rows
  FloatBuffer qkv_, far_q_;        // [count, d + 2 H_kv d_h]; far_q_: queries for the frame before
  FloatBuffer mixed_, far_mixed_;  // [count, d]: attention's results, by frame where values are rotated
  FloatBuffer inner_;              // [count, f or 2 f]
  // Rotations, a table per position (kernels/rope.h).
  std::vector<double> frequencies_;
  FloatBuffer row_tables_;     // of the chunk's slots
  FloatBuffer frame_table_;    // of F
  FloatBuffer origin_tables_;  // of the values' two frames
};

}  // namespace ecp::runtime
