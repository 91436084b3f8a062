#include "ecp/runtime/float_buffer.h"

#include <algorithm>

namespace ecp::runtime {

FloatBuffer::FloatBuffer(std::int64_t count) : size_(count) {
  if (count < 0 || count > INT64_MAX / 8) throw std::bad_array_new_length();
  const auto bytes = static_cast<std::size_t>(count) * sizeof(float);
  data_.reset(static_cast<float*>(::operator new[](bytes, std::align_val_t{64})));
  std::fill_n(data_.get(), count, 0.0f);
}

}  // namespace ecp::runtime
