// What `ecp bench` times with LibTorch. Operations are those that the model asks for: nothing masked counts,
// and nothing computed twice counts twice. The ceiling is the product [2048, 768] x [768, 3072] in the same
// type, bfloat16 with packed weights. LibTorch's number of threads is the caller's.
#pragma once

#include <cstdint>
#include <string>

#include "ecp/bench/bench.h"
#include "ecp/config/train_config.h"

namespace ecp::cli {

struct AttentionBench {
  std::int64_t sequence = 8192, block = 256, heads = 6, width = 128, batch = 1;
  std::string architecture = "ecp";  // one whose layers are one call of the operator
  bool bfloat16 = true;              // else float32
  bool head_major = false;           // [H, n, d_h] in memory; else as the model lays it out, [n, H · d_h]
};

/// Works: forward, backward. Their fact "memory": bytes at the peak beyond the inputs, with the result
/// and, after a backward, the inputs' gradients.
Bench bench_attention(const AttentionBench& options);

/// Work: step, on random tokens: forward, backward, clipping, AdamW.
Bench bench_train(const Config& config);

struct LossBench {
  std::int64_t tokens = 2048, dim = 768, vocab = 28996;
  bool bfloat16 = true;
};

/// Works: loss, loss_and_gradients.
Bench bench_loss(const LossBench& options);

}  // namespace ecp::cli
