// Float memory aligned to cache lines, large blocks in huge pages: weights, caches, scratch.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>

namespace ecp::runtime {

class FloatBuffer {
 public:
  FloatBuffer() = default;
  /// `count` zeros. Throws std::bad_alloc if there is no such memory.
  explicit FloatBuffer(std::int64_t count);

  [[nodiscard]] float* data() const { return data_.get(); }
  [[nodiscard]] std::int64_t size() const { return size_; }
  [[nodiscard]] FloatBuffer copy() const;
  /// At least `count` floats; what was there is lost if it has to grow.
  void grow(std::int64_t count) {
    if (count > size_) *this = FloatBuffer(count);
  }

 private:
  struct Free {
    void operator()(float* data) const { std::free(data); }
  };
  std::unique_ptr<float[], Free> data_;
  std::int64_t size_ = 0;
};

}  // namespace ecp::runtime
