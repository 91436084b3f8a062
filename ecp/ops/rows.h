// Vector loops over one row of attention scores, chosen at run time for the machine's instruction set
// (float), or plain (double, for checks). All accept any count ≥ 0 and unaligned memory.
#pragma once

#include <cstdint>

namespace ecp::ops {

/// The largest of x[0 .. count), −inf if there is none.
float row_max(const float* x, std::int64_t count);
double row_max(const double* x, std::int64_t count);

/// x ← exp(x − shift); returns the sum. float: values below e⁻⁶⁴ become 0, so that no later product is
/// denormal.
float row_exp(float* x, std::int64_t count, float shift);
double row_exp(double* x, std::int64_t count, double shift);

/// x ← x · factor.
void row_scale(float* x, std::int64_t count, float factor);
void row_scale(double* x, std::int64_t count, double factor);

/// x ← x · factors.
void row_multiply(float* x, std::int64_t count, const float* factors);
void row_multiply(double* x, std::int64_t count, const float* factors);

/// Σ x · y.
float row_dot(const float* x, const float* y, std::int64_t count);
double row_dot(const double* x, const double* y, std::int64_t count);

/// The backward of softmax with dropout: scores s become p·f and dp, the gradient of p·f, becomes ds = p
/// (dp·f − delta), where p = exp(s − log_sum_exp) and f are dropout's factors (null: 1).
void row_softmax_backward(float* s, float* dp, std::int64_t count, float log_sum_exp, float delta,
                          const float* factors);
void row_softmax_backward(double* s, double* dp, std::int64_t count, double log_sum_exp, double delta,
                          const float* factors);

/// bfloat16 as its 16 bits; to bfloat16 rounds to nearest even.
void row_to_float(const std::uint16_t* bfloat16, float* out, std::int64_t count);
void row_to_bfloat16(const float* x, std::uint16_t* out, std::int64_t count);

}  // namespace ecp::ops
