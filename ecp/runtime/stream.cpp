#include "ecp/runtime/stream.h"

#include <algorithm>

#include "ecp/base/error.h"

namespace ecp::runtime {
namespace {

constexpr std::int64_t first_rows = 1024;  // of a cache that may become large

}  // namespace

StreamLayout::StreamLayout(const ModelConfig& config) {
  require(!config.is_latent(),
          "model: architecture {} has no cache: its window is computed anew for each token",
          config.architecture);
  require(config.causal, "model: rows that see what comes after them can't be generated one by one");
  groups_ = head_groups(config);
  for (const HeadGroup& group : groups_) frame_ = std::max(frame_, group.pattern.halo() + 1);
  if (!config.holds_positions()) return;
  block_ = config.block;
  trained_ = std::max<std::int64_t>(1, config.sequence / block_) * block_;
}

std::int64_t StreamLayout::position(std::int64_t row) const {
  if (!beyond_trained(row)) return row;
  return trained_ - block_ + row % block_;
}

std::int64_t StreamLayout::first_seen(std::int64_t row) const {
  std::int64_t first = row;
  for (const HeadGroup& group : groups_) first = std::min(first, group.pattern.at(row).lo);
  return first;
}

Piece StreamLayout::piece(const Pattern& pattern, std::int64_t row, std::int64_t end) const {
  Piece piece{row, std::min(end, pattern.tile_end(row)), {}, {}, 0};
  const std::int64_t lo = pattern.at(row).lo;
  if (frame_ == 0) {
    piece.current = {lo, piece.end - lo};
    return piece;
  }
  const std::int64_t begin = row / frame_ * frame_;
  piece.end = std::min(piece.end, begin + frame_);
  const std::int64_t first = std::max(lo, begin);
  if (lo < begin) piece.previous = {slot(lo), begin - lo};
  piece.current = {first - begin, piece.end - first};
  piece.origin = begin + position(row) - row;
  return piece;
}

KeyValueCache::KeyValueCache(std::int64_t heads, std::int64_t head_dim, std::int64_t frame, bool shared)
    : heads_(heads), head_dim_(head_dim), frame_(frame), shared_(shared) {}

void KeyValueCache::reserve(std::int64_t rows) {
  const std::int64_t needed = frame_ > 0 ? std::min(rows, frame_) : rows;
  if (needed <= capacity_) return;
  std::int64_t capacity = std::max({needed, 2 * capacity_, first_rows});
  if (frame_ > 0) capacity = std::min(capacity, frame_);
  std::int64_t count = 0;
  require(!__builtin_mul_overflow(capacity, heads_ * head_dim_, &count), "cache: {} rows are too many",
          capacity);
  const auto grown = [&](const FloatBuffer& old) {
    FloatBuffer buffer(count);
    for (std::int64_t head = 0; head < heads_ && capacity_ > 0; ++head) {
      std::copy_n(old.data() + head * capacity_ * head_dim_, capacity_ * head_dim_,
                  buffer.data() + head * capacity * head_dim_);
    }
    return buffer;
  };
  FloatBuffer keys = grown(keys_);
  if (!shared_) values_ = grown(values_);
  keys_ = std::move(keys);
  capacity_ = capacity;
}

KeyValueCache KeyValueCache::copy() const {
  KeyValueCache other(heads_, head_dim_, frame_, shared_);
  other.capacity_ = capacity_;
  other.keys_ = keys_.copy();
  other.values_ = values_.copy();
  return other;
}

StreamCache::StreamCache(const ModelConfig& config, const StreamLayout& layout) {
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {
    layers_.emplace_back(config.key_heads(), config.head_dim(), layout.frame(), config.shared_kv);
  }
}

std::int64_t StreamCache::most_rewind(const StreamLayout& layout) const {
  if (layout.frame() == 0) return rows_;
  const std::int64_t kept = std::max<std::int64_t>(0, written_ - layout.frame());
  std::int64_t rows = 0;
  while (rows < rows_ && layout.first_seen(rows_ - rows - 1) >= kept) ++rows;
  return rows;
}

void StreamCache::resume(const StreamLayout& layout, std::int64_t rows, std::int64_t written) {
  require(rows >= 0 && rows <= written &&
              (layout.frame() == 0 || rows == written ||
               layout.first_seen(rows) >= std::max<std::int64_t>(0, written - layout.frame())),
          "a stream of {} rows can't be gone on from: the keys they see are gone", rows);
  rows_ = rows;
  written_ = written;
  for (KeyValueCache& layer : layers_) layer.reserve(written);
}

void StreamCache::reserve(std::int64_t rows) {
  for (KeyValueCache& layer : layers_) layer.reserve(rows_ + rows);
}

void StreamCache::add(std::int64_t rows) {
  rows_ += rows;
  written_ = std::max(written_, rows_);
}

std::uint64_t StreamCache::bytes() const {
  std::uint64_t sum = 0;
  for (const KeyValueCache& layer : layers_) sum += layer.bytes();
  return sum;
}

StreamCache StreamCache::copy() const {
  StreamCache other;
  for (const KeyValueCache& layer : layers_) other.layers_.push_back(layer.copy());
  other.rows_ = rows_;
  other.written_ = written_;
  return other;
}

}  // namespace ecp::runtime
