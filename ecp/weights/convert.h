// A checkpoint's weights in another type, or in several files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ecp/base/files.h"
#include "ecp/base/progress.h"
#include "ecp/weights/safetensors.h"

namespace ecp {

struct ConvertOptions {
  // f32 or bf16; i8: matrices so (weights/quantized.h), the rest as it is; none: each tensor keeps its own.
  std::optional<DType> dtype = {};
  std::uint64_t most_shard_bytes = 500'000'000;
  ProgressFunction progress = {};  // bytes of the source's weights
};

struct Conversion {
  std::vector<std::string> weight_files;
  std::uint64_t bytes_before = 0, bytes_after = 0;  // of the weights
  std::vector<std::string> left_out;                // optimizer.safetensors, state.json
};

/// Writes the checkpoint that `from` stands for (as `Checkpoint` takes it) to the new folder `output`: whole
/// or not at all. Weights go into model.safetensors, or into several files with an index where they would
/// exceed `most_shard_bytes`, each at most that large (its tensors' bytes; a single tensor may exceed it).
/// What only resuming needs is left out. Throws Interrupted.
Conversion convert_checkpoint(const Path& from, const Path& output, const ConvertOptions& options);

/// The bfloat16 nearest to `value`, of two equally near the even one; NaN stays NaN.
std::uint16_t to_bf16(float value);

}  // namespace ecp
