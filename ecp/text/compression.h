// Compressed bytes as plain ones: gzip, xz and zstd, streaming, of one or several members or frames.
//
// Memory is bounded by what the largest usual settings need (xz -9, zstd --long): data that asks for more
// than `decoder_memory` is refused, however little of it there is.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "ecp/base/files.h"

namespace ecp {

enum class Compression { none, gzip, xz, zstd };

/// "gzip", "xz", "zstd"; "none".
std::string_view name_of(Compression compression);

/// By the first bytes of a file: `magic_bytes` of them, or all it has.
constexpr std::size_t magic_bytes = 6;
Compression compression_of(std::string_view head);
/// By its extension: .gz, .xz, .zst.
Compression compression_by_name(const Path& path);
/// "novel.txt" for "novel.txt.gz"; other names as they are.
Path without_compression(const Path& path);

/// Puts up to `count` (at least 1) bytes at `out`; returns how many, 0 at the end and only there.
using ByteReader = std::function<std::size_t(char* out, std::size_t count)>;

constexpr std::size_t decoder_memory = std::size_t{128} << 20;

/// What the `compressed` bytes stand for. Fails with one line naming `name` where they are truncated or
/// damaged, or ask for too much memory.
ByteReader decompressed(Compression compression, ByteReader compressed, std::string name);

}  // namespace ecp
