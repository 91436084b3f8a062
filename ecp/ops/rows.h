// Vector loops over one row of float32, chosen at run time for the machine's instruction set. All accept any
// count ≥ 0 and unaligned memory.
#pragma once

#include <cstdint>

namespace ecp::ops {

/// The largest of x[0 .. count), −inf if there is none.
float row_max(const float* x, std::int64_t count);

/// x ← exp(x − shift); returns the sum. Values below e⁻⁶⁴ become 0, so that no later product is denormal.
float row_exp(float* x, std::int64_t count, float shift);

/// Σ x², in double precision, in an order that is the same on every machine.
double row_square_sum(const float* x, std::int64_t count);

/// sum ← sum + x, x in bfloat16 as its 16 bits.
void row_add_bfloat16(float* sum, const std::uint16_t* x, std::int64_t count);

/// x ← x · factor.
void row_scale(float* x, std::int64_t count, float factor);

/// out = x · factor in bfloat16, rounded to nearest even.
void row_scale_to_bfloat16(const float* x, std::int64_t count, float factor, std::uint16_t* out);

/// bfloat16 as its 16 bits; to bfloat16 rounds to nearest even.
void row_to_float(const std::uint16_t* bfloat16, float* out, std::int64_t count);
void row_to_bfloat16(const float* x, std::uint16_t* out, std::int64_t count);

}  // namespace ecp::ops
