// Where the CPU tensors of a program live.
#pragma once

namespace ecp::ops {

/// Makes LibTorch keep the memory of large tensors for later ones (base/block_arena.h), and glibc that of
/// small ones: a training step allocates the same tensors each time, and would pay for fresh zeroed pages
/// again and again. For programs to call once at their start, not for libraries.
void reuse_tensor_memory();

}  // namespace ecp::ops
