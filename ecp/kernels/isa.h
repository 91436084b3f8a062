// Which instruction set the kernels use: the best this machine has, or what ECP_CPU_ISA names. Each level
// includes those before it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ecp::kernels {

/// avx512_bf16 also stands for AVX512-VNNI, which every processor with the former has.
enum class Isa : std::uint8_t { baseline, avx2, avx512, avx512_bf16, amx_bf16 };

inline constexpr std::array all_isas = {Isa::baseline, Isa::avx2, Isa::avx512, Isa::avx512_bf16,
                                        Isa::amx_bf16};

/// "baseline", "avx2", "avx512", "avx512_bf16", "amx_bf16".
std::string_view name_of(Isa isa);
/// True if this machine can run it.
bool supported(Isa isa);
/// The instruction set in use. The first call reads ECP_CPU_ISA; fails, then and ever after, if that is not a
/// name of an instruction set or not one of this machine's. Kernels call it themselves.
Isa isa();
/// True if it multiplies bfloat16 by instructions of its own.
inline bool has_bfloat16() { return isa() >= Isa::avx512_bf16; }
/// True if ECP_CPU_ISA chose it.
bool isa_forced();
/// That, or what a test switched to.
Isa isa_in_use();
/// Switches the vector kernels (not oneDNN, which can't be switched once used); for tests that walk over all.
void use_isa_for_test(Isa isa);

}  // namespace ecp::kernels
