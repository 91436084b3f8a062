// Memory that a task of a kernel works in: aligned, uninitialised, kept from one use to the next.
#pragma once

#include <hwy/aligned_allocator.h>

#include <cstddef>
#include <cstdint>

namespace ecp::kernels {

class Scratch {
 public:
  /// Room for `floats` floats, whose contents are lost when it has to grow.
  float* take(std::int64_t floats) {
    const auto wanted = static_cast<std::size_t>(floats);
    if (wanted > size_) {
      data_ = hwy::AllocateAligned<float>(wanted);
      if (!data_) throw std::bad_alloc();
      size_ = wanted;
    }
    return data_.get();
  }

 private:
  hwy::AlignedFreeUniquePtr<float[]> data_;
  std::size_t size_ = 0;
};

/// run(S&): a scratch of this thread, kept for the next call if `keep`, for what is taken anew costs a fault
/// and a zeroed page for every 4 KB.
template <class S, class Run>
void with_scratch(bool keep, const Run& run) {
  if (keep) {
    static thread_local S kept;
    run(kept);
  } else {
    S own;
    run(own);
  }
}

}  // namespace ecp::kernels
