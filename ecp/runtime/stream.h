// Where the rows of an endless stream are kept, and the positions they have.
//
// Rows are counted in frames of F = halo + 1 rows, so that a row sees keys of its own frame and of the one
// before at most. Row r is kept in slot r mod F: a ring that never holds more than a row can see. Keys are
// rotated once, by their place in their frame. A query row meets the keys of its own frame with its place in
// it as position, those of the frame before with F more. Rotation being relative, that is exact, and
// positions stay below 2F however long the stream. Values that are rotated too are turned to where they stand
// by rotating the sum over a frame's values, which is linear. An unbounded pattern is one frame that never
// ends, with absolute positions.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "ecp/config/attention_plan.h"
#include "ecp/runtime/float_buffer.h"

namespace ecp::runtime {

/// Keys of consecutive slots that a run of query rows sees.
struct Span {
  std::int64_t slot = 0;
  std::int64_t keys = 0;
};

/// Query rows [begin, end) of one frame that see the same first key.
struct Piece {
  std::int64_t begin = 0, end = 0;
  Span previous;  // in the frame before; keys = 0 if none is seen
  Span current;   // in the rows' own frame, their own keys last
  std::int64_t origin =
      0;  // of values: the position at which the rows' frame begins; the frame before, F less
};

class StreamLayout {
 public:
  /// Fails for models that have no cache: of latents, or not causal.
  explicit StreamLayout(const ModelConfig& config);

  /// Heads that see alike; the frames of all are equally long.
  [[nodiscard]] const std::vector<HeadGroup>& groups() const { return groups_; }

  /// F; 0 if the pattern is unbounded.
  [[nodiscard]] std::int64_t frame() const { return frame_; }
  /// The row's slot, and the position by which its key is rotated.
  [[nodiscard]] std::int64_t slot(std::int64_t row) const { return frame_ > 0 ? row % frame_ : row; }
  /// The longest piece from `row` on that ends by `end`, for heads with `pattern`.
  [[nodiscard]] Piece piece(const Pattern& pattern, std::int64_t row, std::int64_t end) const;
  /// The position that a query row's values refer to: the row itself, for as long as positions were trained.
  /// Beyond, where ecp's values carry positions, block k stands where the last whole trained block did,
  /// min(k, max(1, ⌊n/b⌋) − 1), and the blocks before it stand before that.
  [[nodiscard]] std::int64_t position(std::int64_t row) const;
  /// The first row that `row` or one after it sees, of all heads.
  [[nodiscard]] std::int64_t first_seen(std::int64_t row) const;
  /// True if values carry positions and `row` has none that was trained.
  [[nodiscard]] bool beyond_trained(std::int64_t row) const { return trained_ > 0 && row >= trained_; }

 private:
  std::vector<HeadGroup> groups_;
  std::int64_t frame_ = 0;
  std::int64_t trained_ = 0;  // rows in whole trained blocks, if positions are held beyond them
  std::int64_t block_ = 0;    // of those
};

/// One layer's cached keys and values, by head and slot. Grows up to `frame` rows, or without bound if it is
/// 0.
class KeyValueCache {
 public:
  /// `shared`: values are the keys.
  KeyValueCache(std::int64_t heads, std::int64_t head_dim, std::int64_t frame, bool shared);

  /// Makes room for a stream of `rows` rows.
  void reserve(std::int64_t rows);
  [[nodiscard]] KeyValueCache copy() const;
  /// Rows of one head from `slot` on, `head_dim` apart.
  [[nodiscard]] float* keys(std::int64_t head, std::int64_t slot) const { return at(keys_, head, slot); }
  [[nodiscard]] float* values(std::int64_t head, std::int64_t slot) const {
    return at(shared_ ? keys_ : values_, head, slot);
  }
  [[nodiscard]] std::uint64_t bytes() const {
    return static_cast<std::uint64_t>(keys_.size() + values_.size()) * sizeof(float);
  }

 private:
  [[nodiscard]] float* at(const FloatBuffer& buffer, std::int64_t head, std::int64_t slot) const {
    return buffer.data() + (head * capacity_ + slot) * head_dim_;
  }

  std::int64_t heads_, head_dim_, frame_, capacity_ = 0;
  bool shared_;
  FloatBuffer keys_, values_;
};

/// What one stream leaves behind for its next rows: how many there were, and each layer's cache.
class StreamCache {
 public:
  StreamCache(const ModelConfig& config, const StreamLayout& layout);

  [[nodiscard]] std::int64_t rows() const { return rows_; }
  /// Rows that can be taken back: those that came after them may have taken the place of keys that the rows
  /// would see again.
  [[nodiscard]] std::int64_t most_rewind(const StreamLayout& layout) const;
  /// Takes the last `rows` back, at most `most_rewind` of them.
  void rewind(std::int64_t rows) { rows_ -= rows; }

  /// The most rows there were, before some were taken back.
  [[nodiscard]] std::int64_t written() const { return written_; }
  /// Slots of each layer's cache that hold something, from 0 on.
  [[nodiscard]] std::int64_t slots(const StreamLayout& layout) const {
    return layout.frame() > 0 ? std::min(written_, layout.frame()) : written_;
  }
  /// Stands where another stream of `rows` rows stood, of which there had been `written`; what the slots then
  /// hold is to be filled in. Fails if those rows could not be gone on from.
  void resume(const StreamLayout& layout, std::int64_t rows, std::int64_t written);

  /// Makes room for `rows` more.
  void reserve(std::int64_t rows);
  /// After the rows' keys are in all layers.
  void add(std::int64_t rows);
  [[nodiscard]] KeyValueCache& layer(std::size_t layer) { return layers_[layer]; }
  [[nodiscard]] std::uint64_t bytes() const;
  [[nodiscard]] StreamCache copy() const;

 private:
  StreamCache() = default;

  std::vector<KeyValueCache> layers_;
  std::int64_t rows_ = 0;
  std::int64_t written_ = 0;  // the most rows there ever were: the last `frame` of them are in the rings
};

}  // namespace ecp::runtime
