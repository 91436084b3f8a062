#include "ecp/runtime/decoder.h"

#include <algorithm>
#include <cmath>

#include "ecp/base/error.h"
#include "ecp/kernels/activation.h"
#include "ecp/kernels/attention.h"
#include "ecp/kernels/matmul.h"
#include "ecp/kernels/matvec.h"
#include "ecp/kernels/norm.h"
#include "ecp/kernels/rope.h"

namespace ecp::runtime {
namespace {

constexpr std::int64_t chunk_rows = 256;
constexpr std::int64_t attention_rows = 16;       // query rows of a part of attention
constexpr std::int64_t worth_a_thread = 1 << 16;  // multiplications that outweigh waking another thread

/// Calls work(begin, end) for runs of [0, rows), on several threads if `cost` a row makes it worth while.
template <class Work>
void each_run(ThreadPool& pool, std::int64_t rows, std::int64_t cost, std::int64_t multiple,
              const Work& work) {
  const std::int64_t parts = std::clamp<std::int64_t>(rows * cost / worth_a_thread, 1, pool.threads());
  pool.run(parts, [&](std::int64_t part) {
    const Share share = share_of(rows, parts, part, multiple);
    if (share.begin < share.end) work(share.begin, share.end);
  });
}

}  // namespace

Decoder::Decoder(const Weights& weights, const StreamLayout& layout, ThreadPool& pool)
    : weights_(weights), config_(weights.config()), pool_(pool), layout_(layout) {
  frequencies_ = kernels::rope_frequencies(config_.head_dim(), config_.rope_theta);
  frame_table_ = FloatBuffer(2 * config_.head_dim());
  kernels::rope_table(frequencies_, layout_.frame(), frame_table_.data());
}

void Decoder::require_known(std::span<const Token> tokens) const {
  for (const Token token : tokens) {
    require(token < config_.vocab, "token: expected an id below the vocabulary's size {}, got {}",
            config_.vocab, token);
  }
}

void Decoder::forward(StreamCache& stream, std::span<const Token> tokens, LogitSource::Rows wanted,
                      std::vector<float>& logits) {
  require_known(tokens);
  const bool all = wanted == LogitSource::Rows::all;
  const auto vocab = static_cast<std::size_t>(config_.vocab);
  logits.resize(all ? tokens.size() * vocab : tokens.empty() ? 0 : vocab);
  for (std::size_t done = 0; done < tokens.size();) {
    const auto part = tokens.subspan(done, std::min<std::size_t>(chunk_rows, tokens.size() - done));
    runs_.assign(1, {&stream, 0, static_cast<std::int64_t>(part.size())});
    layers(part);
    const bool last = done + part.size() == tokens.size();
    if (all || last) {
      const std::int64_t rows = all ? count_ : 1;
      float* out = logits.data() + (all ? done * vocab : 0);
      normalize(weights_.norm, count_ - rows, rows, h_.data());
      linear(weights_.classifier, h_.data(), config_.dim, rows, out, config_.vocab, false);
    }
    done += part.size();
  }
}

void Decoder::step(std::span<StreamCache* const> streams, std::span<const Token> tokens,
                   std::vector<float>& logits) {
  require(streams.size() == tokens.size(), "step: expected a token for each of {} streams, got {}",
          streams.size(), tokens.size());
  require_known(tokens);
  logits.resize(tokens.size() * static_cast<std::size_t>(config_.vocab));
  if (tokens.empty()) return;
  runs_.clear();
  for (StreamCache* stream : streams) {
    runs_.push_back({stream, static_cast<std::int64_t>(runs_.size()), 1});
  }
  layers(tokens);
  normalize(weights_.norm, 0, count_, h_.data());
  linear(weights_.classifier, h_.data(), config_.dim, count_, logits.data(), config_.vocab, false);
}

/// Through all layers; the streams are then longer.
void Decoder::layers(std::span<const Token> tokens) {
  count_ = static_cast<std::int64_t>(tokens.size());
  one_each_ = runs_.size() == tokens.size();
  const std::int64_t dim = config_.dim;
  for (const Run& run : runs_) run.stream->reserve(run.count);
  for (FloatBuffer* buffer : {&x_, &h_, &mixed_, &far_mixed_}) buffer->grow(count_ * dim);
  for (FloatBuffer* buffer : {&qkv_, &far_q_}) buffer->grow(count_ * weights_.layers.front().qkv.out);
  inner_.grow(count_ * weights_.layers.front().up.out);
  if (config_.rope != "none") {
    const std::int64_t table = 2 * config_.head_dim();
    row_tables_.grow(count_ * table);
    for (const Run& run : runs_) {
      for (std::int64_t i = 0; i < run.count; ++i) {
        kernels::rope_table(frequencies_, layout_.slot(run.stream->rows() + i),
                            row_tables_.data() + (run.first + i) * table);
      }
    }
  }
  for (std::int64_t i = 0; i < count_; ++i) {
    kernels::weight_to_float(weights_.embedding.from_row(tokens[static_cast<std::size_t>(i)]), 1,
                             x_.data() + i * dim);
  }
  for (std::size_t layer = 0; layer < weights_.layers.size(); ++layer) {
    attention_block(layer);
    ffn_block(weights_.layers[layer]);
  }
  for (const Run& run : runs_) run.stream->add(run.count);
}

void Decoder::attention_block(std::size_t layer) {
  const LayerWeights& weights = weights_.layers[layer];
  const bool rotates = config_.rotates(static_cast<std::int64_t>(layer));
  normalize(weights.attention_norm, 0, count_, h_.data());
  linear(weights.qkv, h_.data(), config_.dim, count_, qkv_.data(), weights.qkv.out, false);
  rotate(weights, rotates);
  const auto attend = [&](const Run& run) {
    for (const HeadGroup& group : layout_.groups()) {
      attend_group(run, group, run.stream->layer(layer), rotates);
    }
  };
  // Many streams are shared out among the threads; of a single one, its heads and rows are.
  if (runs_.size() == 1) {
    attend(runs_.front());
  } else {
    pool_.run(static_cast<std::int64_t>(runs_.size()),
              [&](std::int64_t run) { attend(runs_[static_cast<std::size_t>(run)]); });
  }
  project(weights);
}

/// x += attention's output projection, of which block 0 may have its own.
void Decoder::project(const LayerWeights& weights) {
  const std::int64_t dim = config_.dim;
  std::int64_t begin = 0;
  const auto rows_until = [&](std::int64_t end, const Linear& out) {
    if (begin < end) {
      linear(out, mixed_.data() + begin * dim, dim, end - begin, x_.data() + begin * dim, dim, true);
    }
    begin = end;
  };
  if (weights.first_out.weight.data != nullptr) {
    for (const Run& run : runs_) {
      const std::int64_t first = std::clamp<std::int64_t>(config_.block - run.stream->rows(), 0, run.count);
      if (first == 0) continue;
      rows_until(run.first, weights.out);
      rows_until(run.first + first, weights.first_out);
    }
  }
  rows_until(count_, weights.out);
}

/// Norms and positions of queries and keys.
void Decoder::rotate(const LayerWeights& weights, bool rotates) {
  const std::int64_t heads = config_.heads, key_heads = config_.key_heads(), width = config_.head_dim();
  const std::int64_t stride = weights.qkv.out;
  each_run(pool_, count_, stride * 8, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      float* q = qkv_.data() + i * stride;
      float* k = q + config_.dim;
      if (weights.q_norm != nullptr) {
        const auto eps = static_cast<float>(config_.norm_eps);
        kernels::rms_norm({q, q, weights.q_norm, nullptr, heads, width, width, width, eps});
        kernels::rms_norm({k, k, weights.k_norm, nullptr, key_heads, width, width, width, eps});
      }
      const float* table = row_tables_.data() + i * 2 * width;
      if (rotates) kernels::rope({q, q, table, heads + key_heads, width, width, width, false});
    }
  });
}

void Decoder::attend_group(const Run& run, const HeadGroup& group, KeyValueCache& cache, bool rotates) {
  const std::int64_t key_heads = config_.key_heads(), width = config_.head_dim();
  const std::int64_t stride = weights_.layers.front().qkv.out, shared = config_.heads / key_heads;
  const std::int64_t first_key_head = group.first_head / shared;
  // A piece's keys may take the slots of keys that only earlier pieces see.
  const std::int64_t before = run.stream->rows(), after = before + run.count;
  for (std::int64_t row = before; row < after;) {
    const Piece piece = layout_.piece(group.pattern, row, after);
    for (; row < piece.end; ++row) {
      const float* k = qkv_.data() + (run.first + row - before) * stride + config_.dim;
      for (std::int64_t head = first_key_head; head < first_key_head + group.heads / shared; ++head) {
        std::copy_n(k + head * width, width, cache.keys(head, layout_.slot(row)));
        if (config_.shared_kv) continue;
        std::copy_n(k + (key_heads + head) * width, width, cache.values(head, layout_.slot(row)));
      }
    }
    attend_piece(run, group, cache, piece, rotates);
    if (rotates && config_.rotate_values) turn_values(run, group, piece);
  }
}

void Decoder::attend_piece(const Run& run, const HeadGroup& group, const KeyValueCache& cache,
                           const Piece& piece, bool rotates) {
  const std::int64_t width = config_.head_dim(), dim = config_.dim, stride = weights_.layers.front().qkv.out;
  const std::int64_t rows = piece.end - piece.begin;
  const std::int64_t first = run.first + piece.begin - run.stream->rows();
  const std::int64_t shared = config_.heads / config_.key_heads();
  const bool far = piece.previous.keys > 0;
  const bool apart = rotates && config_.rotate_values;  // the two frames' values are turned differently
  const std::int64_t keys = piece.previous.keys + piece.current.keys;
  const std::int64_t tiles = (rows + attention_rows - 1) / attention_rows;
  const auto part = [&](std::int64_t head, std::int64_t tile) {
    const std::int64_t begin = tile * attention_rows, end = std::min(rows, begin + attention_rows);
    const std::int64_t column = head * width, key_head = head / shared;
    const float* q = qkv_.data() + (first + begin) * stride + column;
    const float* far_q = q;
    if (far && rotates) {
      float* turned = far_q_.data() + (first + begin) * stride + column;
      kernels::rope({q, turned, frame_table_.data(), end - begin, width, stride, stride, false});
      far_q = turned;
    }
    float* out = mixed_.data() + (first + begin) * dim + column;
    float* far_out = apart ? far_mixed_.data() + (first + begin) * dim + column : out;
    const kernels::AttentionSpan spans[2] = {
        {far_q, cache.keys(key_head, piece.previous.slot), cache.values(key_head, piece.previous.slot),
         far_out, piece.previous.keys, false},
        {q, cache.keys(key_head, piece.current.slot), cache.values(key_head, piece.current.slot), out,
         piece.current.keys - (rows - end), far && !apart}};
    thread_local FloatBuffer scratch;
    scratch.grow(kernels::attention_scratch(keys));
    const double scale = 1 / std::sqrt(static_cast<double>(width));
    kernels::attention({far ? spans : spans + 1, far ? 2 : 1, end - begin, width, stride, width, dim,
                        static_cast<float>(scale), scratch.data()});
  };
  each_run(pool_, group.heads * tiles, rows / tiles * keys * width * 2, 1,
           [&](std::int64_t begin, std::int64_t end) {
             for (std::int64_t i = begin; i < end; ++i) part(group.first_head + i / tiles, i % tiles);
           });
}

/// Values were mixed as they lie in their frames; turned by the frames' origins they are where they belong.
void Decoder::turn_values(const Run& run, const HeadGroup& group, const Piece& piece) {
  if (piece.origin == 0 && piece.previous.keys == 0) return;
  const std::int64_t width = config_.head_dim(), dim = config_.dim;
  thread_local FloatBuffer tables;  // of the two frames' origins
  tables.grow(4 * width);
  float* current = tables.data();
  float* previous = current + 2 * width;
  kernels::rope_table(frequencies_, piece.origin, current);
  kernels::rope_table(frequencies_, piece.origin - layout_.frame(), previous);
  const std::int64_t first = run.first + piece.begin - run.stream->rows();
  for (std::int64_t i = first; i < first + piece.end - piece.begin; ++i) {
    const std::int64_t column = group.first_head * width;
    float* out = mixed_.data() + i * dim + column;
    kernels::rope({out, out, current, group.heads, width, width, width, false});
    if (piece.previous.keys == 0) continue;
    kernels::rope(
        {far_mixed_.data() + i * dim + column, out, previous, group.heads, width, width, width, true});
  }
}

void Decoder::ffn_block(const LayerWeights& weights) {
  const std::int64_t dim = config_.dim, inner = weights.down.weight.in, stride = weights.up.out;
  normalize(weights.ffn_norm, 0, count_, h_.data());
  linear(weights.up, h_.data(), dim, count_, inner_.data(), stride, false);
  const bool gated = stride != inner;
  each_run(pool_, count_, inner * 8, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      float* row = inner_.data() + i * stride;
      gated ? kernels::silu_times(row, row + inner, row + inner, inner) : kernels::gelu(row, row, inner);
    }
  });
  linear(weights.down, inner_.data() + (gated ? inner : 0), stride, count_, x_.data(), dim, true);
}

void Decoder::normalize(const NormWeights& norm, std::int64_t first, std::int64_t rows, float* out) {
  const std::int64_t dim = config_.dim;
  each_run(pool_, rows, dim * 4, 1, [&](std::int64_t begin, std::int64_t end) {
    const kernels::Norm problem{x_.data() + (first + begin) * dim,
                                out + begin * dim,
                                norm.weight,
                                norm.bias,
                                end - begin,
                                dim,
                                dim,
                                dim,
                                static_cast<float>(config_.norm_eps)};
    config_.norm == "layer" ? kernels::layer_norm(problem) : kernels::rms_norm(problem);
  });
}

void Decoder::linear(const Linear& linear, const float* x, std::int64_t x_stride, std::int64_t rows, float* y,
                     std::int64_t y_stride, bool accumulate) {
  if (rows > 1 && !one_each_) {
    kernels::matmul({x, linear.weight, linear.bias, y, rows, linear.out, x_stride, y_stride, accumulate},
                    pool_);
    return;
  }
  each_run(pool_, linear.out, rows * linear.weight.in, 12, [&](std::int64_t begin, std::int64_t end) {
    kernels::matvec({linear.weight.from_row(begin), linear.bias != nullptr ? linear.bias + begin : nullptr, x,
                     y + begin, end - begin, accumulate, rows, x_stride, y_stride});
  });
}

}  // namespace ecp::runtime
