// Interval attention over whole sequences, forward and backward: softmax(scale · q kᵀ) v where query row i
// sees the keys of one interval (intervals/pattern.h). After FlashAttention (Dao et al. 2022): scores exist
// one tile at a time, the backward computes them again from each row's log-sum-exp.
//
// Work comes in tasks that write disjoint memory and whose results don't depend on each other, so callers run
// them on threads of their own, in any order and number, and always get the same bits.
#pragma once

#include <cstdint>
#include <vector>

#include "ecp/intervals/pattern.h"

namespace ecp::kernels {

enum class Element : std::uint8_t { float32, bfloat16 };

/// [batch, rows, heads, width] in memory: strides in elements, the elements of a head beside each other.
template <class Pointer>
struct HeadRows {
  Pointer data = nullptr;
  std::int64_t batch = 0, row = 0, head = 0;
};
using ReadRows = HeadRows<const void*>;
using WriteRows = HeadRows<void*>;

/// Dropout of probabilities (kernels/dropout.h), counted by stream rows; threshold 0: none.
struct AttentionDropout {
  std::uint32_t threshold = 0;
  float kept = 1;                      // what kept probabilities are multiplied by
  std::vector<std::uint64_t> streams;  // [batch · heads]: `dropout_stream` of each head of each sample
};

/// One problem. All tensors are of one element type; sums are float32, and with it so are bfloat16's products
/// where the machine has no instructions for them.
struct IntervalAttention {
  Element element = Element::float32;
  std::int64_t batch = 0, rows = 0, keys = 0;  // samples; rows of q; rows of k and v
  std::int64_t heads = 0, kv_heads = 0, width = 0;
  ReadRows q, k, v;  // [batch, rows, heads, width], [batch, keys, kv_heads, width]; v without data: k
  Pattern pattern = Pattern::full();
  std::int64_t query_offset = 0, key_offset = 0;  // stream rows of q's and k's first row
  const std::int32_t* document_start =
      nullptr;  // [batch, rows]: first stream row that each row may see; null
  float scale = 1;
  AttentionDropout dropout;
};

struct AttentionForward {
  WriteRows out;                 // like q
  float* log_sum_exp = nullptr;  // [batch, heads, rows]; −inf where a row sees nothing
};

struct AttentionBackward {
  ReadRows grad_out, out;              // like q
  const float* log_sum_exp = nullptr;  // of the forward
  WriteRows grad_q, grad_k, grad_v;    // grad_v without data: grad_k gets both
};

std::int64_t forward_tasks(const IntervalAttention& problem);
/// Tasks [begin, end).
void forward(const IntervalAttention& problem, const AttentionForward& results, std::int64_t begin,
             std::int64_t end);

std::int64_t backward_tasks(const IntervalAttention& problem);
void backward(const IntervalAttention& problem, const AttentionBackward& gradients, std::int64_t begin,
              std::int64_t end);

}  // namespace ecp::kernels
