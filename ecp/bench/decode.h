// Generation of one token after the other, by one stream or by many together. A token reads every weight
// once, so that the rate at which as much memory can be read is its ceiling.
#pragma once

#include <string>

#include "ecp/base/progress.h"
#include "ecp/bench/bench.h"
#include "ecp/config/model_config.h"
#include "ecp/weights/checkpoint.h"

namespace ecp {

struct DecodeOptions {
  int threads = 0;            // 0: all available CPUs
  std::int64_t streams = 1;   // more: work "streams" is a token of each, computed together
  std::int64_t position = 0;  // tokens that the first stream has read before it is timed
  ProgressFunction progress;  // of reading them
};

/// A model with random weights, matrices in `dtype`: "float32", "bfloat16" or "int8".
Bench decode_bench(const ModelConfig& model, const std::string& dtype, const DecodeOptions& options);
/// A checkpoint's, with its weights as they are stored.
Bench decode_bench(const Checkpoint& checkpoint, const DecodeOptions& options);

}  // namespace ecp
