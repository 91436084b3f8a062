// Compressed text for tests.
#pragma once

#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <stdexcept>
#include <string>

#include "ecp/text/compression.h"

namespace ecp::test {

/// `text` as one member or frame. `dictionary`: bytes of xz's, stated whether needed or not (0: the usual).
inline std::string compressed(Compression compression, const std::string& text,
                              std::uint32_t dictionary = 0) {
  std::string out(text.size() + text.size() / 8 + 4096, '\0');
  auto* bytes = reinterpret_cast<unsigned char*>(out.data());
  const auto* in = reinterpret_cast<const unsigned char*>(text.data());
  const auto check = [](bool good) {
    if (!good) throw std::runtime_error("cannot compress");
  };
  if (compression == Compression::gzip) {
    z_stream stream{};
    check(::deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    stream.next_in = const_cast<unsigned char*>(in);
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = bytes;
    stream.avail_out = static_cast<uInt>(out.size());
    check(::deflate(&stream, Z_FINISH) == Z_STREAM_END);
    out.resize(stream.total_out);
    ::deflateEnd(&stream);
  } else if (compression == Compression::xz) {
    lzma_options_lzma options;
    check(!::lzma_lzma_preset(&options, 1));
    lzma_filter filters[] = {{LZMA_FILTER_LZMA2, &options}, {LZMA_VLI_UNKNOWN, nullptr}};
    std::size_t size = 0;
    check(::lzma_stream_buffer_encode(filters, LZMA_CHECK_CRC64, nullptr, in, text.size(), bytes, &size,
                                      out.size()) == LZMA_OK);
    out.resize(size);
    if (dictionary > 0) {  // in the block's header, which ends with its checksum
      constexpr std::size_t header = 12;
      const std::size_t block = header + (static_cast<unsigned char>(out[header]) + 1) * 4u;
      const std::string filter("\x21\x01", 2);
      const std::size_t at = out.find(filter, header);
      check(at < block);
      // Its size is coded as (2 or 3) · 2^(code / 2 + 11).
      unsigned char code = 0;
      while ((std::uint64_t{2u | (code & 1u)} << (code / 2 + 11)) < dictionary) ++code;
      out[at + 2] = static_cast<char>(code);
      const std::uint32_t sum =
          ::lzma_crc32(reinterpret_cast<const unsigned char*>(&out[header]), block - 4 - header, 0);
      for (std::size_t i = 0; i < 4; ++i) out[block - 4 + i] = static_cast<char>(sum >> (8 * i));
    }
  } else {
    ZSTD_CCtx* context = ::ZSTD_createCCtx();
    ::ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    const std::size_t size = ::ZSTD_compress2(context, out.data(), out.size(), text.data(), text.size());
    ::ZSTD_freeCCtx(context);
    check(::ZSTD_isError(size) == 0);
    out.resize(size);
  }
  return out;
}

}  // namespace ecp::test
