#include "ecp/ops/tensor_memory.h"

#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>

#include "ecp/base/block_arena.h"
#include "ecp/base/system.h"

namespace ecp::ops {
namespace {

constexpr std::size_t least_block = std::size_t{1} << 20;

/// Never destroyed: tensors may live until the process ends.
BlockArena& arena() {
  static auto* const only = new BlockArena;
  return *only;
}

void free_any(void* data) {
  if (data != nullptr && !arena().free(data)) c10::free_cpu(data);
}

class ReusingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    void* data = bytes >= least_block ? arena().allocate(bytes) : nullptr;
    if (data == nullptr) data = c10::alloc_cpu(bytes);  // fails in LibTorch's words
    return {data, data, &free_any, c10::Device(c10::DeviceType::CPU)};
  }
  [[nodiscard]] c10::DeleterFnPtr raw_deleter() const override { return &free_any; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
};

}  // namespace

void reuse_tensor_memory() {
  keep_freed_memory();
#ifndef __SANITIZE_ADDRESS__  // which sees nothing of blocks within blocks
  constexpr std::uint8_t above_default = 1;
  c10::SetCPUAllocator(new ReusingAllocator, above_default);
#endif
}

}  // namespace ecp::ops
