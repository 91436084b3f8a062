#include "ecp/runtime/float_buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

namespace ecp::runtime {

FloatBuffer::FloatBuffer(std::int64_t count) : size_(count) {
  constexpr std::size_t line = 64, huge_page = std::size_t{2} << 20;
  if (count < 0 || count > INT64_MAX / 8) throw std::bad_array_new_length();
  const auto bytes = static_cast<std::size_t>(count) * sizeof(float);
  const std::size_t alignment = bytes >= huge_page ? huge_page : line;
  const std::size_t rounded = std::max(alignment, (bytes + alignment - 1) / alignment * alignment);
  data_.reset(static_cast<float*>(std::aligned_alloc(alignment, rounded)));
  if (!data_) throw std::bad_alloc();
  // Reading weights is bound by memory, and pages' addresses are part of that. A kernel without huge pages
  // says no, and small ones serve.
  if (alignment == huge_page) ::madvise(data_.get(), rounded, MADV_HUGEPAGE);
  std::fill_n(data_.get(), count, 0.0f);
}

FloatBuffer FloatBuffer::copy() const {
  if (!data_) return {};
  FloatBuffer other(size_);
  std::copy_n(data_.get(), size_, other.data_.get());
  return other;
}

}  // namespace ecp::runtime
